// Adds an order's items up; without any it fails, and so does the SQL statement.
exports.handler = async ({ items = [] }) => {
  if (items.length === 0) throw new RangeError("an order without items");
  return items.reduce((sum, { price, quantity }) => sum + price * quantity, 0);
};
