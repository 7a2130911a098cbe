-- Verdicts of learned rules belong to an episode: one opens it, others remind of it, one
-- closes it. Both columns are empty in the verdicts of other rules.

-- +goose NO TRANSACTION
-- +goose Up
ALTER TABLE {{.Database}}.verdicts{{.OnCluster}}
    ADD COLUMN IF NOT EXISTS `episode_id` String COMMENT 'what verdicts of one episode of a learned rule have in common' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `phase` LowCardinality(String) COMMENT 'open, remind or close';
