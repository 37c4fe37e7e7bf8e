-- The messages in which a broadcast reaches people: itself, its reminders, and the steps of their routes to others. Who has read one of them has read it.

CREATE VIEW broadcast_family AS
SELECT id AS root, id FROM broadcasts
UNION ALL SELECT parent, id FROM broadcasts WHERE parent <> 0
UNION ALL SELECT r.family, r.message_id FROM broadcasts b JOIN routes r ON r.family = b.id AND r.message_id <> b.id
UNION ALL SELECT b.parent, r.message_id FROM broadcasts b JOIN routes r ON r.family = b.id AND r.message_id <> b.id WHERE b.parent <> 0;
