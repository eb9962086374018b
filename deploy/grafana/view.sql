-- Run once, by the owner of the table that `inspector subscribe` writes ([sink] kind = "postgres"):
--   psql -d quality -f view.sql
-- The dashboard asks this view. May be run again.

-- A part of which no picture came has no captured_at, and must not vanish from the figures:
-- it counts at the time it was stored. (A table made before there was this column gets it here.)
ALTER TABLE inspector_result
  ADD COLUMN IF NOT EXISTS stored_at timestamptz NOT NULL DEFAULT now();

CREATE OR REPLACE VIEW inspector_part AS
  SELECT coalesce(captured_at, stored_at) AS at, station, seq, part_id, evaluation, pass, late,
         cause, reason, label, score, novelty, review_at, reject_at, recipe, bundle, total_ms,
         image, simulated
  FROM inspector_result;

CREATE INDEX IF NOT EXISTS inspector_result_at ON inspector_result (coalesce(captured_at, stored_at));

-- Grafana asks with a role that can read this and nothing else; give it a password:
--   CREATE ROLE grafana LOGIN; \password grafana
--   GRANT SELECT ON inspector_part TO grafana;
