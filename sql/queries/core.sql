-- name: next-process
UPDATE counters SET value = value + 1 WHERE name = 'process' RETURNING value
