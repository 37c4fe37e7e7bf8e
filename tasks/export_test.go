package tasks

import "tidings"

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

// Runs are those that segments which wait make, one after the other.
func Runs(ss ...tidings.Segment) (runs [][]tidings.Segment) {
	g := group{running: 1}
	for _, s := range ss {
		g.waiting = append(g.waiting, &member{segment: s})
	}
	for members := g.take(); members != nil; members = g.take() {
		var run []tidings.Segment
		for _, m := range members {
			run = append(run, m.segment)
		}
		runs = append(runs, run)
		g.served(members)
	}
	return runs
}
