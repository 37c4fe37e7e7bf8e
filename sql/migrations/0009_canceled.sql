-- What was canceled lately: the route stage asks at its commit whether any message was, before it looks at its own.
CREATE INDEX messages_canceled ON messages (canceled_at) WHERE canceled_at <> 0;
