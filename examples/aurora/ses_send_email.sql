-- A procedure that sends a mail through the Lambda function SES_send_email (examples/functions/SES_send_email),
-- as in Aurora's documentation. It wraps Aurora's old procedure mysql.lambda_async, which stock MySQL has with
-- lambda-udf; its definer needs EXECUTE on that and nothing else.
--
--   mysql --user=root test < examples/aurora/ses_send_email.sql
DROP PROCEDURE IF EXISTS SES_send_email;
DELIMITER ;;
CREATE PROCEDURE SES_send_email(
  IN email_from VARCHAR(255),
  IN email_to   VARCHAR(255),
  IN subject    VARCHAR(255),
  IN body       TEXT)
LANGUAGE SQL
BEGIN
  CALL mysql.lambda_async(
    'arn:aws:lambda:us-west-2:123456789012:function:SES_send_email',
    CONCAT('{"email_to" : "', email_to,
           '", "email_from" : "', email_from,
           '", "email_subject" : "', subject,
           '", "email_body" : "', body, '"}'));
END ;;
DELIMITER ;

-- CONCAT puts the text into the JSON as it is. A quotation mark or a line break in the body makes the payload invalid
-- (error 3200, payload is not JSON), text that was written for it can add keys of its own, and one NULL makes all of it
-- NULL (error 3200, payload is NULL). JSON_OBJECT quotes every value and keeps NULL as null. The same procedure with it:
--
--   CREATE PROCEDURE SES_send_email(…)
--     SELECT lambda_async(
--              'arn:aws:lambda:us-west-2:123456789012:function:SES_send_email',
--              JSON_OBJECT('email_to', email_to, 'email_from', email_from,
--                          'email_subject', subject, 'email_body', body))
--       INTO @accepted;

-- To send one:
--   call SES_send_email('example_from@amazon.com', 'example_to@amazon.com', 'Email subject', 'Email content');
