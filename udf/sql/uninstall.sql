-- Takes back everything that install.sql brought, and what was granted and persisted since. Can be run again without
-- harm. Nothing of it is written to the binary log; run it on every server, replicas last. Stop the calls first:
-- while some are in flight it changes nothing and says so, and the same while the outbox holds anything.
-- Then remove lambda_udf.so from plugin_dir.
--
--   mysql --user=root < uninstall.sql
SET SESSION sql_log_bin = 0;
-- Whoever waits for a table here makes others wait that want to write into it.
SET SESSION lock_wait_timeout = 30;

-- All that may refuse, before anything is changed.
DROP PROCEDURE IF EXISTS mysql.lambda_udf_uninstall_outbox;
DROP PROCEDURE IF EXISTS mysql.lambda_udf_uninstall;
DELIMITER //
CREATE PROCEDURE mysql.lambda_udf_uninstall_outbox()
BEGIN
  DECLARE others TEXT;
  DECLARE refusal TEXT;
  DECLARE done BOOL DEFAULT FALSE;
  DECLARE revocation TEXT;
  -- Grants would outlive the tables, and count again after the next install.
  DECLARE revocations CURSOR FOR
    SELECT CONCAT('REVOKE ', what, ' FROM ', QUOTE(User), '@', QUOTE(Host)) FROM (
      SELECT User, Host, CONCAT('GRANT OPTION ON lambda_udf.`', Table_name, '`') AS what
      FROM mysql.tables_priv WHERE Db = 'lambda_udf' AND FIND_IN_SET('Grant', Table_priv)
      UNION ALL SELECT User, Host, CONCAT('ALL PRIVILEGES ON lambda_udf.`', Table_name, '`')
      FROM mysql.tables_priv WHERE Db = 'lambda_udf'
      UNION ALL SELECT User, Host, CONCAT('GRANT OPTION ON ', Routine_type, ' lambda_udf.`', Routine_name, '`')
      FROM mysql.procs_priv WHERE Db = 'lambda_udf' AND FIND_IN_SET('Grant', Proc_priv)
      UNION ALL SELECT User, Host, CONCAT('ALL PRIVILEGES ON ', Routine_type, ' lambda_udf.`', Routine_name, '`')
      FROM mysql.procs_priv WHERE Db = 'lambda_udf'
    ) AS granted;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE;
  SELECT GROUP_CONCAT(name ORDER BY name SEPARATOR ', ') INTO others FROM (
    SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'lambda_udf'
    UNION ALL SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'lambda_udf'
    UNION ALL SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'lambda_udf'
    UNION ALL SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'lambda_udf'
  ) AS found WHERE name NOT IN ('schema_version', 'outbox', 'outbox_waiting', 'outbox_dead', 'outbox_results',
    'outbox_deduplication', 'outbox_lock', 'outbox_status', 'lambda_async', 'outbox_redriven', 'outbox_redrive');
  IF others IS NOT NULL THEN
    SET refusal = LEFT(CONCAT('The schema lambda_udf holds what is not of lambda-udf; move it: ', others), 128);
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = refusal;
  END IF;
  -- The constraint cannot come while there is a row. Once it is there, whoever writes an event fails: there will be none.
  -- It may have been left by a run that was cut off.
  IF NOT EXISTS (SELECT 1 FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'lambda_udf'
                 AND CONSTRAINT_NAME = 'lambda_udf_is_being_uninstalled') THEN
    BEGIN
      DECLARE EXIT HANDLER FOR 3819
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'lambda_udf.outbox holds events; let the sidecar deliver them, or TRUNCATE it, then run this again';
      ALTER TABLE lambda_udf.outbox ADD CONSTRAINT lambda_udf_is_being_uninstalled CHECK (FALSE);
    END;
  END IF;
  BEGIN
    DECLARE EXIT HANDLER FOR SQLEXCEPTION
    BEGIN
      ALTER TABLE lambda_udf.outbox DROP CHECK lambda_udf_is_being_uninstalled;
      RESIGNAL;
    END;
    IF EXISTS (SELECT 1 FROM lambda_udf.outbox_waiting) OR EXISTS (SELECT 1 FROM lambda_udf.outbox_dead)
       OR EXISTS (SELECT 1 FROM lambda_udf.outbox_results) THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'outbox_waiting, outbox_dead or outbox_results holds rows; take or TRUNCATE them, then run this again';
    END IF;
    OPEN revocations;
    FETCH revocations INTO revocation;
    WHILE NOT done DO
      SET @lambda_udf_revoke = revocation;
      PREPARE lambda_udf_revoke FROM @lambda_udf_revoke;
      EXECUTE lambda_udf_revoke;
      DEALLOCATE PREPARE lambda_udf_revoke;
      FETCH revocations INTO revocation;
    END WHILE;
    CLOSE revocations;
    SET @lambda_udf_revoke = NULL;
    DROP DATABASE lambda_udf;
  END;
END//
-- REVOKE knows the privilege only while the component is there; grants would outlive it and count again after the next
-- install. UNINSTALL COMPONENT, like INSTALL, can only be asked about in a procedure.
CREATE PROCEDURE mysql.lambda_udf_uninstall()
BEGIN
  DECLARE done BOOL DEFAULT FALSE;
  DECLARE waited INT DEFAULT 0;
  DECLARE account TEXT;
  DECLARE accounts CURSOR FOR
    SELECT CONCAT(QUOTE(USER), '@', QUOTE(HOST)) FROM mysql.global_grants WHERE PRIV = 'INVOKE_LAMBDA';
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE;
  -- The component would not go while calls are in flight (3538), and by then the grants would be gone. Without the
  -- component there is no such count.
  WHILE EXISTS (SELECT 1 FROM performance_schema.global_status
                WHERE VARIABLE_NAME = 'Lambda_udf_in_flight' AND VARIABLE_VALUE > 0) DO
    IF waited = 100 THEN
      SIGNAL SQLSTATE '45000'
        SET MESSAGE_TEXT = 'Calls of lambda functions are in flight; end them (SHOW PROCESSLIST), then run this again';
    END IF;
    SET waited = waited + 1;
    DO SLEEP(0.01);
  END WHILE;
  IF EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'lambda_udf' AND TABLE_NAME = 'outbox') THEN
    CALL mysql.lambda_udf_uninstall_outbox();
  END IF;
  IF EXISTS (SELECT 1 FROM mysql.component WHERE component_urn = 'file://lambda_udf') THEN
    OPEN accounts;
    FETCH accounts INTO account;
    WHILE NOT done DO
      SET @lambda_udf_revoke = CONCAT('REVOKE INVOKE_LAMBDA ON *.* FROM ', account);
      PREPARE lambda_udf_revoke FROM @lambda_udf_revoke;
      EXECUTE lambda_udf_revoke;
      DEALLOCATE PREPARE lambda_udf_revoke;
      FETCH accounts INTO account;
    END WHILE;
    CLOSE accounts;
    SET @lambda_udf_revoke = NULL;
    UNINSTALL COMPONENT 'file://lambda_udf';
  END IF;
END//
DELIMITER ;
CALL mysql.lambda_udf_uninstall();
DROP PROCEDURE mysql.lambda_udf_uninstall;
DROP PROCEDURE mysql.lambda_udf_uninstall_outbox;

RESET PERSIST IF EXISTS lambda_udf.batch_concurrency;
RESET PERSIST IF EXISTS lambda_udf.connect_timeout_ms;
RESET PERSIST IF EXISTS lambda_udf.function_error;
RESET PERSIST IF EXISTS lambda_udf.map_concurrency;
RESET PERSIST IF EXISTS lambda_udf.mode;
RESET PERSIST IF EXISTS lambda_udf.result_max_bytes;
RESET PERSIST IF EXISTS lambda_udf.socket;
RESET PERSIST IF EXISTS lambda_udf.timeout_ms;

DROP PROCEDURE IF EXISTS mysql.lambda_async;
DROP ROLE IF EXISTS AWS_LAMBDA_ACCESS;
DROP USER IF EXISTS lambda_udf@localhost;
DROP FUNCTION IF EXISTS lambda_sync;
DROP FUNCTION IF EXISTS lambda_async;
DROP FUNCTION IF EXISTS lambda_invoke;
DROP FUNCTION IF EXISTS lambda_ping;
DROP FUNCTION IF EXISTS lambda_execution;
DROP FUNCTION IF EXISTS lambda_callback;
DROP FUNCTION IF EXISTS lambda_callback_failure;
DROP FUNCTION IF EXISTS lambda_map;
DROP FUNCTION IF EXISTS lambda_batch;
DROP FUNCTION IF EXISTS lambda_outbox_hint;
