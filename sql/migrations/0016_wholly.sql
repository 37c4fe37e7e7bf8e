-- Whether a version was ever in force for all stores: a rollback goes to such a one.
ALTER TABLE templates ADD COLUMN wholly bigint NOT NULL DEFAULT 0;
UPDATE templates SET wholly = 1 WHERE state IN ('published', 'retired') AND percent = 100;
