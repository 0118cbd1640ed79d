-- Orders whose rows announce themselves to the function OrderPlaced (examples/functions/OrderPlaced) through the outbox: if
-- the transaction of an order commits, its event is sent; if it is rolled back, nothing is. docs/outbox.md explains it.
--
--   mysql --user=root test < examples/outbox/orders.sql
DROP TABLE IF EXISTS orders;
CREATE TABLE orders (
  id       INT           NOT NULL AUTO_INCREMENT,
  customer VARCHAR(80)   NOT NULL,
  total    DECIMAL(9, 2) NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- From Aurora this is the trigger of before, with lambda_udf. written before lambda_async.
CREATE TRIGGER order_placed AFTER INSERT ON orders FOR EACH ROW
  SELECT lambda_udf.lambda_async('OrderPlaced',
           JSON_OBJECT('order', NEW.id, 'customer', NEW.customer, 'total', NEW.total))
    INTO @accepted;

-- With options an event is a row of lambda_udf.outbox. A customer's changes arrive in their order:
CREATE TRIGGER order_changed AFTER UPDATE ON orders FOR EACH ROW
  INSERT INTO lambda_udf.outbox (function_name, payload, options)
  VALUES ('OrderPlaced',
          JSON_OBJECT('order', NEW.id, 'customer', NEW.customer, 'total', NEW.total),
          JSON_OBJECT('group_key', CONCAT('customer-', NEW.customer)));

-- To send one:
--   INSERT INTO orders (customer, total) VALUES ('Ada', 42.50);
