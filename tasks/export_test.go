package tasks

// Dequeued lets tests see which commands the doorbell takes for a dequeue.
var Dequeued = dequeued

// FullAt is the share of Redis' memory from which the relay spares it.
const FullAt = fullAt
