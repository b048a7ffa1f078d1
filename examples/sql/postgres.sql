-- The table that sync writes and the source connectors read.
CREATE TABLE IF NOT EXISTS tabela (
    id text PRIMARY KEY,
    valor text,
    updated_at timestamptz NOT NULL DEFAULT now()
);
