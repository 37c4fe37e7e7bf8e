-- Endpoints are also told of messages that ended without an audience.
DROP VIEW balance_events;

-- What an active endpoint should have been told and was not, of messages that were accepted since it watches. It asks the states
-- themselves, not what wrote the events. The id of a message holds the time of its acceptance (tidings.ID); 29 of the 30 days that events are kept.
CREATE VIEW balance_events AS
SELECT 'event' AS rule, 'message ' || d.message_id || ' ' || d.user_id || ' ' || d.channel || ' delivery.' || d.state || ' to ' || e.id AS place, 1 AS expected, 0 AS found
FROM endpoints e JOIN deliveries d ON d.application = e.application AND d.message_id > (e.watched_from / 1000 - 1767225595000) * 4194304
WHERE e.state = 'active' AND instr(e.events, ',delivery.' || d.state || ',') > 0 AND d.changed_at > now_us() - 2505600000000
    AND NOT EXISTS (SELECT 1 FROM events x WHERE x.endpoint = e.id AND x.message_id = d.message_id AND x.user_id = d.user_id AND x.channel = d.channel
        AND x.type = 'delivery.' || d.state)
UNION ALL
SELECT 'event', 'message ' || n.message_id || ' ' || n.user_id || ' notification.read to ' || e.id, 1, 0
FROM endpoints e JOIN messages m ON m.application = e.application AND m.id > (e.watched_from / 1000 - 1767225595000) * 4194304
    JOIN notifications n ON n.message_id = m.id
WHERE e.state = 'active' AND instr(e.events, ',notification.read,') > 0 AND n.read_at > now_us() - 2505600000000
    AND NOT EXISTS (SELECT 1 FROM events x WHERE x.endpoint = e.id AND x.message_id = n.message_id AND x.user_id = n.user_id AND x.type = 'notification.read')
UNION ALL
SELECT 'event', 'message ' || m.id || ' message.ended to ' || e.id, 1, 0
FROM endpoints e JOIN messages m ON m.application = e.application AND m.id > (e.watched_from / 1000 - 1767225595000) * 4194304
    JOIN audiences a ON a.message_id = m.id
WHERE e.state = 'active' AND instr(e.events, ',message.ended,') > 0 AND a.reason <> ''
    AND m.id > ((now_us() - 2505600000000) / 1000 - 1767225595000) * 4194304
    AND NOT EXISTS (SELECT 1 FROM events x WHERE x.endpoint = e.id AND x.message_id = m.id AND x.type = 'message.ended');
