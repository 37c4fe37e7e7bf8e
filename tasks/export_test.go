package tasks

// Dequeued lets tests see which commands the doorbell takes for a dequeue.
var Dequeued = dequeued

// FullAt is the share of Redis' memory from which the relay spares it.
const FullAt = fullAt

// Message is what a process sends to others when it rings queues.
func (d *Doorbell) Message(queues ...string) string { return d.message(queues) }

// Hear is what it does with a message.
func (d *Doorbell) Hear(message string) { d.hear(message) }

// Rung tells whether a queue's bell was rung since it was last asked.
func (d *Doorbell) Rung(queue string) bool {
	select {
	case <-d.bell(queue).rung:
		return true
	default:
		return false
	}
}

// Waits tells whether somebody waits for a queue's bell.
func (d *Doorbell) Waits(queue string) bool { return d.bell(queue).waiting.Load() }
