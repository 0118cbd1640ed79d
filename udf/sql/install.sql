-- Installs lambda-udf on a server whose plugin_dir holds lambda_udf.so. Can be run again without harm; needs an
-- administrator (root) and MySQL 8.0.29 or newer. Run it on every server of a topology, replicas first: nothing of
-- it is written to the binary log, because a replica without the library would stop at it.
--
--   mysql --user=root < install.sql
SET SESSION sql_log_bin = 0;

CREATE FUNCTION IF NOT EXISTS lambda_sync   RETURNS STRING SONAME 'lambda_udf.so';
CREATE FUNCTION IF NOT EXISTS lambda_async  RETURNS STRING SONAME 'lambda_udf.so';
CREATE FUNCTION IF NOT EXISTS lambda_invoke RETURNS STRING SONAME 'lambda_udf.so';

-- INSTALL COMPONENT knows no IF NOT EXISTS and cannot be prepared.
DROP PROCEDURE IF EXISTS mysql.lambda_udf_install;
DELIMITER //
CREATE PROCEDURE mysql.lambda_udf_install()
IF NOT EXISTS (SELECT 1 FROM mysql.component WHERE component_urn = 'file://lambda_udf') THEN
  INSTALL COMPONENT 'file://lambda_udf';
END IF//
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
