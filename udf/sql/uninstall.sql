-- Takes back everything that install.sql brought, and what was granted and persisted since. Can be run again without
-- harm. Nothing of it is written to the binary log; run it on every server, replicas last. Stop the calls first:
-- while some are in flight it changes nothing and says so. Then remove lambda_udf.so from plugin_dir.
--
--   mysql --user=root < uninstall.sql
SET SESSION sql_log_bin = 0;

-- REVOKE knows the privilege only while the component is there; grants would outlive it and count again after the next
-- install. UNINSTALL COMPONENT, like INSTALL, can only be asked about in a procedure.
DROP PROCEDURE IF EXISTS mysql.lambda_udf_uninstall;
DELIMITER //
CREATE PROCEDURE mysql.lambda_udf_uninstall()
BEGIN
  DECLARE done BOOL DEFAULT FALSE;
  DECLARE waited INT DEFAULT 0;
  DECLARE account TEXT;
  DECLARE accounts CURSOR FOR
    SELECT CONCAT(QUOTE(USER), '@', QUOTE(HOST)) FROM mysql.global_grants WHERE PRIV = 'INVOKE_LAMBDA';
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE;
  IF EXISTS (SELECT 1 FROM mysql.component WHERE component_urn = 'file://lambda_udf') THEN
    -- The component would not go while calls are in flight (3538), and by then the grants would be gone.
    WHILE (SELECT VARIABLE_VALUE > 0 FROM performance_schema.global_status
           WHERE VARIABLE_NAME = 'Lambda_udf_in_flight') DO
      IF waited = 100 THEN
        SIGNAL SQLSTATE '45000'
          SET MESSAGE_TEXT = 'Calls of lambda functions are in flight; end them (SHOW PROCESSLIST), then run this again';
      END IF;
      SET waited = waited + 1;
      DO SLEEP(0.01);
    END WHILE;
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

RESET PERSIST IF EXISTS lambda_udf.connect_timeout_ms;
RESET PERSIST IF EXISTS lambda_udf.function_error;
RESET PERSIST IF EXISTS lambda_udf.mode;
RESET PERSIST IF EXISTS lambda_udf.socket;
RESET PERSIST IF EXISTS lambda_udf.timeout_ms;

DROP PROCEDURE IF EXISTS mysql.lambda_async;
DROP ROLE IF EXISTS AWS_LAMBDA_ACCESS;
DROP USER IF EXISTS lambda_udf@localhost;
DROP FUNCTION IF EXISTS lambda_sync;
DROP FUNCTION IF EXISTS lambda_async;
DROP FUNCTION IF EXISTS lambda_invoke;
