-- Installs lambda-udf on a server whose plugin_dir holds lambda_udf.so. Can be run again without harm; needs an
-- administrator (root) and MySQL 8.0.29 or newer. Run it on every server of a topology, replicas first: nothing of
-- it is written to the binary log, because a replica without the library would stop at it.
--
--   mysql --user=root < install.sql
SET SESSION sql_log_bin = 0;
-- What is created here must not hang on the session that creates it, nor on the server's defaults.
SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO';
SET NAMES utf8mb4 COLLATE utf8mb4_0900_ai_ci;
-- Whoever waits for a table here makes others wait that want to write into it.
SET SESSION lock_wait_timeout = 30;

CREATE FUNCTION IF NOT EXISTS lambda_sync   RETURNS STRING SONAME 'lambda_udf.so';
CREATE FUNCTION IF NOT EXISTS lambda_async  RETURNS STRING SONAME 'lambda_udf.so';
CREATE FUNCTION IF NOT EXISTS lambda_invoke RETURNS STRING SONAME 'lambda_udf.so';
CREATE FUNCTION IF NOT EXISTS lambda_ping   RETURNS STRING SONAME 'lambda_udf.so';
CREATE FUNCTION IF NOT EXISTS lambda_execution        RETURNS STRING SONAME 'lambda_udf.so';
CREATE FUNCTION IF NOT EXISTS lambda_callback         RETURNS STRING SONAME 'lambda_udf.so';
CREATE FUNCTION IF NOT EXISTS lambda_callback_failure RETURNS STRING SONAME 'lambda_udf.so';
CREATE AGGREGATE FUNCTION IF NOT EXISTS lambda_map   RETURNS STRING SONAME 'lambda_udf.so';
CREATE AGGREGATE FUNCTION IF NOT EXISTS lambda_batch RETURNS STRING SONAME 'lambda_udf.so';
CREATE FUNCTION IF NOT EXISTS lambda_outbox_hint RETURNS INTEGER SONAME 'lambda_udf.so';

-- INSTALL COMPONENT knows no IF NOT EXISTS and cannot be prepared.
DROP PROCEDURE IF EXISTS mysql.lambda_udf_install;
DELIMITER //
CREATE PROCEDURE mysql.lambda_udf_install()
BEGIN
  IF NOT EXISTS (SELECT 1 FROM mysql.component WHERE component_urn = 'file://lambda_udf') THEN
    INSTALL COMPONENT 'file://lambda_udf';
  END IF;
  -- Of an uninstallation that was cut off; it lets nobody write into the outbox.
  IF EXISTS (SELECT 1 FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'lambda_udf'
             AND CONSTRAINT_NAME = 'lambda_udf_is_being_uninstalled') THEN
    ALTER TABLE lambda_udf.outbox DROP CHECK lambda_udf_is_being_uninstalled;
  END IF;
END//
DELIMITER ;
CALL mysql.lambda_udf_install();
DROP PROCEDURE mysql.lambda_udf_install;

CREATE ROLE IF NOT EXISTS AWS_LAMBDA_ACCESS;
GRANT INVOKE_LAMBDA ON *.* TO AWS_LAMBDA_ACCESS;

-- Aurora's old procedure: EXECUTE on it is all that its caller needs, and nobody has that by default.
-- Its definer can never log in.
CREATE USER IF NOT EXISTS lambda_udf@localhost ACCOUNT LOCK;
GRANT INVOKE_LAMBDA ON *.* TO lambda_udf@localhost;
-- Never dropped by this script: who has EXECUTE on it would lose that.
DELIMITER //
CREATE DEFINER = lambda_udf@localhost PROCEDURE IF NOT EXISTS mysql.lambda_async(
  lambda_function_ARN   TEXT     CHARACTER SET utf8mb4,
  lambda_function_input LONGTEXT CHARACTER SET utf8mb4)
  SQL SECURITY DEFINER
  COMMENT 'Invokes a Lambda function asynchronously (lambda-udf); lambda_async() is the newer way'
BEGIN
  DECLARE accepted TEXT CHARACTER SET utf8mb4;
  SET accepted = lambda_async(lambda_function_ARN, lambda_function_input);
END//
DELIMITER ;
-- A definer must hold EXECUTE on its own routine.
GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO lambda_udf@localhost;

-- ---- the outbox: events that live and die with the transaction that writes them; docs/outbox.md ----

CREATE DATABASE IF NOT EXISTS lambda_udf DEFAULT CHARACTER SET utf8mb4 DEFAULT COLLATE utf8mb4_0900_ai_ci;

-- One row for each version that was installed here.
CREATE TABLE IF NOT EXISTS lambda_udf.schema_version (
  version      INT UNSIGNED NOT NULL PRIMARY KEY,
  installed_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- Where events are written. No index but the key, and no trigger: in another schema than the statement's it would cost
-- 6 microseconds a row before it did anything, twice the row itself. A JSON schema and not REGEXP_LIKE checks the name:
-- ICU compiles its pattern for each statement, and so for each row of a trigger, in 15 microseconds. Columns are wider
-- than what they take, so that a text that a session without a strict sql_mode cuts off is still too long. Error 3819
-- shows nothing but a constraint's name, so the names say what is wrong.
CREATE TABLE IF NOT EXISTS lambda_udf.outbox (
  id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  function_name VARCHAR(256) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payload       LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  options       JSON NULL,
  caller        VARCHAR(288) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT (CURRENT_USER()),
  created_at    TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  payload_bytes INT UNSIGNED AS (LENGTH(payload)) STORED NOT NULL,
  CONSTRAINT function_name_must_be_a_name_or_a_partial_or_full_ARN CHECK (JSON_SCHEMA_VALID('{
    "maxLength": 255,
    "pattern": "^(arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+-[0-9]:[0-9]{12}:function:|([a-z0-9-]+-[0-9]:)?([0-9]{12}:)?(function:)?)[.]*[a-zA-Z0-9_-][a-zA-Z0-9_.-]*(:([$]LATEST([.]PUBLISHED)?|[a-zA-Z0-9_-]+))?$"
  }', JSON_QUOTE(function_name))),
  CONSTRAINT payload_must_be_JSON CHECK (JSON_VALID(payload)),
  CONSTRAINT payload_must_not_exceed_1048576_bytes_6291456_with_keep_result CHECK (
    LENGTH(payload) <= 1048576 OR LENGTH(payload) <= 6291456
      AND COALESCE(options->>'$.keep_result' = 'true' OR options->>'$.invocation_type' = 'RequestResponse', FALSE)),
  CONSTRAINT options_must_be_those_of_the_outbox_see_SHOW_WARNINGS CHECK (JSON_SCHEMA_VALID('{
    "type": "object",
    "additionalProperties": false,
    "properties": {
      "delay_seconds": {"type": "number", "minimum": 0, "maximum": 2678400},
      "group_key": {"type": "string", "minLength": 1, "maxLength": 128},
      "deduplication_key": {"type": "string", "minLength": 1, "maxLength": 128},
      "keep_result": {"type": "boolean"},
      "durable": {"type": "boolean"},
      "envelope": {"type": "boolean"},
      "invocation_type": {"enum": ["Event", "RequestResponse", "DryRun"]},
      "region": {"type": "string", "minLength": 1, "maxLength": 64},
      "qualifier": {"type": "string", "minLength": 1, "maxLength": 128},
      "role": {"type": "string", "minLength": 1, "maxLength": 2048},
      "tenant_id": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[a-zA-Z0-9._:/=+@ -]+$"},
      "expires_at": {"type": "string",
        "pattern": "^[0-9]{4}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?Z| [0-2][0-9]:[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?)$"}
    }
  }', options))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- Events that are due later, are tried again, or wait for the one before them of their group (due_at NULL).
CREATE TABLE IF NOT EXISTS lambda_udf.outbox_waiting (
  id            BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  function_name VARCHAR(256) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payload       LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  options       JSON NULL,
  caller        VARCHAR(288) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  created_at    TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  payload_bytes INT UNSIGNED AS (LENGTH(payload)) STORED NOT NULL,
  -- utf8mb4_0900_bin does not pad: keys that differ in a space at the end are two keys.
  group_key     VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NULL,
  due_at        TIMESTAMP(6) NULL DEFAULT NULL,
  attempts      INT UNSIGNED NOT NULL DEFAULT 0,
  error         VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  KEY due (due_at),
  KEY of_group (caller, group_key, id),
  KEY of_function (function_name, due_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC STATS_PERSISTENT = 1 STATS_AUTO_RECALC = 1;

-- Version 1 had no index of_function. What is due is read function by function; the server skips in that index from one
-- name to the next as long as its statistics say that names are few.
-- An earlier version 2 took no dot in a function's name, and 170 characters. The columns stay as they are: rows do not
-- replicate between tables whose columns differ in length.
DROP PROCEDURE IF EXISTS mysql.lambda_udf_upgrade;
DELIMITER //
CREATE PROCEDURE mysql.lambda_udf_upgrade()
BEGIN
  IF NOT EXISTS (SELECT 1 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'lambda_udf'
                 AND TABLE_NAME = 'outbox_waiting' AND INDEX_NAME = 'of_function') THEN
    ALTER TABLE lambda_udf.outbox_waiting ADD KEY of_function (function_name, due_at),
      STATS_PERSISTENT = 1, STATS_AUTO_RECALC = 1;
  END IF;
  IF EXISTS (SELECT 1 FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'lambda_udf'
             AND CONSTRAINT_NAME = 'function_name_must_be_a_name_or_a_partial_or_full_ARN'
             AND CHECK_CLAUSE NOT LIKE '%PUBLISHED%') THEN
    ALTER TABLE lambda_udf.outbox DROP CHECK function_name_must_be_a_name_or_a_partial_or_full_ARN,
      ADD CONSTRAINT function_name_must_be_a_name_or_a_partial_or_full_ARN CHECK (JSON_SCHEMA_VALID('{
    "maxLength": 255,
    "pattern": "^(arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+-[0-9]:[0-9]{12}:function:|([a-z0-9-]+-[0-9]:)?([0-9]{12}:)?(function:)?)[.]*[a-zA-Z0-9_-][a-zA-Z0-9_.-]*(:([$]LATEST([.]PUBLISHED)?|[a-zA-Z0-9_-]+))?$"
  }', JSON_QUOTE(function_name)));
  END IF;
END//
DELIMITER ;
CALL mysql.lambda_udf_upgrade();
DROP PROCEDURE mysql.lambda_udf_upgrade;

-- Events that were given up, and why.
CREATE TABLE IF NOT EXISTS lambda_udf.outbox_dead (
  id            BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  function_name VARCHAR(256) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payload       LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  options       JSON NULL,
  caller        VARCHAR(288) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  created_at    TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  attempts      INT UNSIGNED NOT NULL DEFAULT 0,
  error         VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  died_at       TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  KEY died (died_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- What functions answered to events with keep_result.
CREATE TABLE IF NOT EXISTS lambda_udf.outbox_results (
  outbox_id        BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  function_name    VARCHAR(256) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  caller           VARCHAR(288) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  status_code      SMALLINT UNSIGNED NOT NULL,
  payload          LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  function_error   VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  executed_version VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  request_id       VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  answered_at      TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  KEY answered (answered_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- Which deduplication keys have been seen lately. Each account has keys of its own.
CREATE TABLE IF NOT EXISTS lambda_udf.outbox_deduplication (
  caller            VARCHAR(288) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  function_name     VARCHAR(256) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  deduplication_key VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NOT NULL,
  outbox_id         BIGINT UNSIGNED NOT NULL,
  seen_at           TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (caller, function_name, deduplication_key),
  KEY seen (seen_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

-- The lock's name ends in this token, which only the account that delivers may read: GET_LOCK asks for no right, and
-- whoever held the lock would stop delivery.
CREATE TABLE IF NOT EXISTS lambda_udf.outbox_lock (
  one   TINYINT UNSIGNED NOT NULL DEFAULT 1 PRIMARY KEY,
  token CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  CONSTRAINT there_is_one_row CHECK (one = 1)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
INSERT IGNORE INTO lambda_udf.outbox_lock (token) VALUES (HEX(RANDOM_BYTES(16)));

-- lambda_udf@localhost owns what follows, so that nobody's account can be dropped from under it; this is all it may do.
GRANT SELECT (function_name, options, created_at), INSERT (function_name, payload, options)
  ON lambda_udf.outbox TO lambda_udf@localhost;
GRANT SELECT (id, function_name, created_at, due_at, attempts), INSERT ON lambda_udf.outbox_waiting TO lambda_udf@localhost;
GRANT SELECT, DELETE ON lambda_udf.outbox_dead TO lambda_udf@localhost;

-- Counts per function: whoever may read it sees no payloads. due: those that wait for nothing but their delivery.
CREATE OR REPLACE DEFINER = lambda_udf@localhost SQL SECURITY DEFINER VIEW lambda_udf.outbox_status AS
SELECT function_name,
       CAST(SUM(waiting) AS UNSIGNED) AS waiting,
       CAST(SUM(due) AS UNSIGNED) AS due,
       MIN(oldest) AS oldest,
       CAST(SUM(retried) AS UNSIGNED) AS retried,
       CAST(SUM(dead) AS UNSIGNED) AS dead
FROM (
  SELECT function_name, COUNT(*) AS waiting,
         SUM(options->>'$.delay_seconds' IS NULL
             OR UNIX_TIMESTAMP(created_at) + options->>'$.delay_seconds' <= UNIX_TIMESTAMP()) AS due,
         MIN(created_at) AS oldest, 0 AS retried, 0 AS dead
  FROM lambda_udf.outbox GROUP BY function_name
  UNION ALL
  SELECT function_name, COUNT(*), SUM(COALESCE(due_at <= NOW(6), FALSE)), MIN(created_at), SUM(attempts > 0), 0
  FROM lambda_udf.outbox_waiting GROUP BY function_name
  UNION ALL
  SELECT function_name, 0, 0, NULL, 0, COUNT(*)
  FROM lambda_udf.outbox_dead GROUP BY function_name
) AS parts
GROUP BY function_name;

DELIMITER //
-- DETERMINISTIC, because servers with a binary log take no other function that writes (error 1418). The event stands,
-- whatever becomes of the hint: the library may be missing, too.
CREATE DEFINER = lambda_udf@localhost FUNCTION IF NOT EXISTS lambda_udf.lambda_async(
  called_function TEXT     CHARACTER SET utf8mb4,
  event_payload   LONGTEXT CHARACTER SET utf8mb4)
  RETURNS VARCHAR(64) CHARACTER SET utf8mb4
  DETERMINISTIC MODIFIES SQL DATA SQL SECURITY INVOKER
  COMMENT 'Writes an event into lambda_udf.outbox; it is delivered after COMMIT (lambda-udf)'
BEGIN
  DECLARE hinted INT;
  INSERT INTO lambda_udf.outbox (function_name, payload) VALUES (called_function, event_payload);
  BEGIN
    DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;
    SET hinted = lambda_outbox_hint();
  END;
  RETURN CONCAT('{"StatusCode": 202, "OutboxId": ', LAST_INSERT_ID(), '}');
END//

-- One statement for outbox_redrive: all or nothing, without an end to its caller's transaction. Of each group only the
-- first has a time, as the others wait for it; it is found without the payloads, which would be copied for that.
CREATE DEFINER = lambda_udf@localhost FUNCTION IF NOT EXISTS lambda_udf.outbox_redriven(dead_id BIGINT UNSIGNED)
  RETURNS BIGINT UNSIGNED
  DETERMINISTIC MODIFIES SQL DATA SQL SECURITY DEFINER
  COMMENT 'What outbox_redrive does (lambda-udf); the number of events'
BEGIN
  DECLARE moved BIGINT UNSIGNED;
  INSERT INTO lambda_udf.outbox_waiting (id, function_name, payload, options, caller, created_at, group_key, due_at)
    SELECT d.id, d.function_name, d.payload, d.options, d.caller, d.created_at, m.group_key,
           IF(m.group_key IS NULL OR m.id = m.first, NOW(6), NULL)
    FROM (
      SELECT id, group_key, MIN(id) OVER (PARTITION BY caller, group_key) AS first FROM (
        SELECT id, caller, (options->>'$.group_key') COLLATE utf8mb4_0900_bin AS group_key
        FROM lambda_udf.outbox_dead WHERE dead_id IS NULL OR id = dead_id FOR UPDATE
      ) AS k
    ) AS m STRAIGHT_JOIN lambda_udf.outbox_dead AS d ON d.id = m.id FOR UPDATE;
  SET moved = ROW_COUNT();
  DELETE d FROM lambda_udf.outbox_dead AS d STRAIGHT_JOIN lambda_udf.outbox_waiting AS w ON w.id = d.id
    WHERE dead_id IS NULL OR d.id = dead_id;
  IF moved = 0 AND dead_id IS NOT NULL THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'lambda_udf.outbox_dead has no event of this id';
  END IF;
  RETURN moved;
END//

CREATE DEFINER = lambda_udf@localhost PROCEDURE IF NOT EXISTS lambda_udf.outbox_redrive(dead_id BIGINT UNSIGNED)
  SQL SECURITY DEFINER
  COMMENT 'Tries the event of this id in outbox_dead again, under its old id; NULL: all (lambda-udf)'
  DO lambda_udf.outbox_redriven(dead_id)//
DELIMITER ;
GRANT EXECUTE ON FUNCTION lambda_udf.outbox_redriven TO lambda_udf@localhost;
-- For mysql.lambda_async, where that writes into the outbox.
GRANT EXECUTE ON FUNCTION lambda_udf.lambda_async TO lambda_udf@localhost;
GRANT EXECUTE ON PROCEDURE lambda_udf.outbox_redrive TO lambda_udf@localhost;

-- Nobody may write another's name into `caller`.
GRANT INSERT (function_name, payload, options) ON lambda_udf.outbox TO AWS_LAMBDA_ACCESS;
GRANT EXECUTE ON FUNCTION lambda_udf.lambda_async TO AWS_LAMBDA_ACCESS;

INSERT IGNORE INTO lambda_udf.schema_version (version) VALUES (2);
