CREATE TABLE cleanup_clusters (
	cluster_uuid TEXT NOT NULL,
	listed_timestamp_seconds DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (cluster_uuid)
);
CREATE TABLE cleanup_codes (
	cluster TEXT NOT NULL,
	policy TEXT NOT NULL,
	code TEXT NOT NULL,
	deletions BIGINT NOT NULL,
	PRIMARY KEY (cluster, policy, code)
);
CREATE TABLE cleanup_control (
	id INTEGER NOT NULL,
	kill_switch BOOLEAN NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE cleanup_durations (
	policy TEXT NOT NULL,
	up_to_seconds DOUBLE PRECISION NOT NULL,
	deletions BIGINT NOT NULL,
	sum_seconds DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (policy, up_to_seconds)
);
CREATE TABLE cleanup_failures (
	policy TEXT NOT NULL,
	digest TEXT NOT NULL,
	failures BIGINT NOT NULL,
	changed_seconds DOUBLE PRECISION NOT NULL,
	paused_timestamp_seconds DOUBLE PRECISION,
	reason TEXT NOT NULL,
	PRIMARY KEY (policy, digest)
);
CREATE TABLE cleanup_leases (
	cluster_uuid TEXT NOT NULL,
	owner TEXT NOT NULL,
	epoch BIGINT NOT NULL,
	expires_seconds DOUBLE PRECISION,
	held_before_until_seconds DOUBLE PRECISION,
	PRIMARY KEY (cluster_uuid)
);
CREATE INDEX cleanup_leases_of_owner ON cleanup_leases (owner);
CREATE TABLE cleanup_packages (
	cluster_uuid TEXT NOT NULL,
	version TEXT NOT NULL,
	create_timestamp_seconds DOUBLE PRECISION,
	first_seen_timestamp_seconds DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (cluster_uuid, version)
);
CREATE TABLE cleanup_policies (
	cluster TEXT NOT NULL,
	policy TEXT NOT NULL,
	changed_seconds DOUBLE PRECISION NOT NULL,
	candidates INTEGER NOT NULL,
	planned TEXT,
	last_started_timestamp_seconds DOUBLE PRECISION NOT NULL,
	last_ended_timestamp_seconds DOUBLE PRECISION,
	last_success BOOLEAN,
	last_failure TEXT NOT NULL,
	last_success_timestamp_seconds DOUBLE PRECISION,
	ended_success BIGINT DEFAULT '0' NOT NULL,
	ended_failure BIGINT DEFAULT '0' NOT NULL,
	ended_already_gone BIGINT DEFAULT '0' NOT NULL,
	ended_busy BIGINT DEFAULT '0' NOT NULL,
	ended_timeout BIGINT DEFAULT '0' NOT NULL,
	ended_denied BIGINT DEFAULT '0' NOT NULL,
	ended_protected BIGINT DEFAULT '0' NOT NULL,
	PRIMARY KEY (cluster, policy)
);
CREATE INDEX cleanup_policies_changed ON cleanup_policies (changed_seconds);
CREATE TABLE cleanup_processes (
	owner TEXT NOT NULL,
	shard TEXT NOT NULL,
	expires_seconds DOUBLE PRECISION NOT NULL,
	PRIMARY KEY (owner)
);
CREATE TABLE cleanup_runs (
	id BIGSERIAL NOT NULL,
	cluster_uuid TEXT NOT NULL,
	cluster TEXT NOT NULL,
	policy TEXT NOT NULL,
	dry_run BOOLEAN NOT NULL,
	started_timestamp_seconds DOUBLE PRECISION NOT NULL,
	ended_timestamp_seconds DOUBLE PRECISION,
	success BOOLEAN,
	failure TEXT NOT NULL,
	error TEXT NOT NULL,
	plan TEXT NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX cleanup_runs_going_on ON cleanup_runs (cluster_uuid) WHERE ended_timestamp_seconds IS NULL;
CREATE INDEX cleanup_runs_of_cluster ON cleanup_runs (cluster, id);
CREATE INDEX cleanup_runs_of_policy ON cleanup_runs (cluster_uuid, policy, id);
CREATE TABLE cleanup_schema_version (
	version_num TEXT NOT NULL,
	PRIMARY KEY (version_num)
);
CREATE TABLE cleanup_deletions (
	id BIGSERIAL NOT NULL,
	run_id BIGINT NOT NULL,
	cluster_uuid TEXT NOT NULL,
	cluster TEXT NOT NULL,
	policy TEXT NOT NULL,
	policy_digest TEXT NOT NULL,
	version TEXT NOT NULL,
	create_timestamp_seconds DOUBLE PRECISION,
	phase TEXT NOT NULL,
	intended_timestamp_seconds DOUBLE PRECISION NOT NULL,
	intended_database_seconds DOUBLE PRECISION NOT NULL,
	attempts INTEGER NOT NULL,
	job_uuid TEXT,
	earlier_job_uuids TEXT NOT NULL,
	outcome TEXT,
	ended_timestamp_seconds DOUBLE PRECISION,
	code TEXT NOT NULL,
	message TEXT NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT cleanup_deletions_ended_with_outcome CHECK ((phase = 'ended') = (outcome IS NOT NULL) AND (phase = 'ended') = (ended_timestamp_seconds IS NOT NULL)),
	FOREIGN KEY(run_id) REFERENCES cleanup_runs (id)
);
CREATE INDEX cleanup_deletions_of_day ON cleanup_deletions (intended_database_seconds);
CREATE INDEX cleanup_deletions_of_run ON cleanup_deletions (run_id);
CREATE INDEX cleanup_deletions_of_version ON cleanup_deletions (cluster_uuid, version, id);
CREATE UNIQUE INDEX cleanup_deletions_one_unfinished ON cleanup_deletions (cluster_uuid) WHERE phase != 'ended';
