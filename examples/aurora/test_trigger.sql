-- A trigger that sends an event for each new row, as in Aurora's documentation of triggers.
-- The trigger runs once per row; the INSERT returns when Lambda has accepted every event, and does not wait for the
-- function. A call that fails makes the INSERT fail. A call is not undone by a ROLLBACK.
--
--   mysql --user=root test < examples/aurora/test_trigger.sql
DROP TABLE IF EXISTS Test_trigger;
CREATE TABLE Test_trigger (
  id   INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  note VARCHAR(255)
);

SET @result = 0;
DELIMITER //
CREATE TRIGGER myFirstTrigger
  AFTER INSERT ON Test_trigger
  FOR EACH ROW
BEGIN
  SELECT lambda_async(
           'arn:aws:lambda:us-east-1:123456789012:function:BasicTestLambda',
           '{"operation": "ping"}')
    INTO @result;
END//
DELIMITER ;

INSERT INTO Test_trigger (note) VALUES ('first row');
-- {"StatusCode": 202, "RequestId": "…"}
SELECT @result;
