// Answers with a greeting; a module as Lambda's Node.js runtimes take it.
export const handler = async (event, context) => ({ greeting: `Hello, ${event.name}`, request: context.awsRequestId });
