-- A table whose new rows are published on an SNS topic: the trigger calls a procedure, the procedure the Lambda function
-- SNS_publish_message (examples/functions/SNS_publish_message), as in Aurora's documentation. There the table's names
-- stand in single quotes, which no MySQL accepts; here they have none.
--
--   mysql --user=root test < examples/aurora/sns_publish_message.sql
DROP PROCEDURE IF EXISTS SNS_Publish_Message;
DELIMITER ;;
CREATE PROCEDURE SNS_Publish_Message(
  IN subject VARCHAR(255),
  IN message TEXT)
LANGUAGE SQL
BEGIN
  CALL mysql.lambda_async(
    'arn:aws:lambda:us-west-2:123456789012:function:SNS_publish_message',
    CONCAT('{ "subject" : "', subject, '", "message" : "', message, '" }'));
END ;;
DELIMITER ;
-- With JSON_OBJECT('subject', subject, 'message', message) instead of CONCAT, quotation marks, line breaks and NULL in
-- what customers write are safe too (see ses_send_email.sql).

DROP TABLE IF EXISTS Customer_Feedback;
CREATE TABLE Customer_Feedback (
  id                INT           NOT NULL AUTO_INCREMENT,
  customer_name     VARCHAR(255)  NOT NULL,
  customer_feedback VARCHAR(1024) NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

DELIMITER ;;
CREATE TRIGGER TR_Customer_Feedback_AI
  AFTER INSERT ON Customer_Feedback
  FOR EACH ROW
BEGIN
  SELECT CONCAT('New customer feedback from ', NEW.customer_name), NEW.customer_feedback
    INTO @subject, @feedback;
  CALL SNS_Publish_Message(@subject, @feedback);
END ;;
DELIMITER ;

-- To publish one:
--   insert into Customer_Feedback (customer_name, customer_feedback) VALUES ('Sample Customer', 'Good job guys!');
