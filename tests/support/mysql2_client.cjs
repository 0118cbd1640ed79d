// Runs statements with npm's mysql2, connected as it connects by itself. Standard input: JSON {module, socket,
// statements: [{sql, parameters?}]}; with parameters as a prepared statement. Standard output: JSON, the rows of each.
const input = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const mysql = require(input.module + "/promise");

async function main() {
  const connection = await mysql.createConnection({ socketPath: input.socket, user: "root", database: "test" });
  const results = [];
  for (const { sql, parameters } of input.statements) {
    const [rows] = parameters ? await connection.execute(sql, parameters) : await connection.query(sql);
    results.push(Array.isArray(rows) ? rows : []);
  }
  await connection.end();
  process.stdout.write(JSON.stringify(results));
}

main();
