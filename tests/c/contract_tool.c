/* Lets Python compare: "encode" writes the InvokeRequest of its arguments, "decode" reads an InvokeResponse.
 * encode CALL_ID TYPE TIMEOUT_MS FUNCTION PAYLOAD USER HOST SCHEMA CONNECTION_ID DEADLINE_MS OPTIONS
 * QUALIFIER REGION ROLE TENANT_ID ANSWER_FORM FAILS_TOGETHER DURABLE_NAME TRACEPARENT RESULT_MAX: the message
 * on stdout. decode: from stdin; prints one field per line, bytes in hex. Exit status 1: refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

#define MESSAGE_MAX (8u * 1024 * 1024)

static struct slice text(const char *argument) {
  return (struct slice){.data = argument, .length = strlen(argument)};
}

static int encode(char **argv) {
  struct invoke_request request = {.call_id = strtoull(argv[0], NULL, 10),
                                   .type = (enum invocation_type)strtoul(argv[1], NULL, 10),
                                   .timeout_ms = (uint32_t)strtoul(argv[2], NULL, 10),
                                   .function = text(argv[3]),
                                   .payload = text(argv[4]),
                                   .user = text(argv[5]),
                                   .host = text(argv[6]),
                                   .schema = text(argv[7]),
                                   .connection_id = strtoull(argv[8], NULL, 10),
                                   .deadline_ms = strtoull(argv[9], NULL, 10),
                                   .options = text(argv[10]),
                                   .qualifier = text(argv[11]),
                                   .region = text(argv[12]),
                                   .role = text(argv[13]),
                                   .tenant_id = text(argv[14]),
                                   .answer_form = (enum answer_form)strtoul(argv[15], NULL, 10),
                                   .fails_together = strtoul(argv[16], NULL, 10) != 0,
                                   .durable_name = text(argv[17]),
                                   .traceparent = text(argv[18]),
                                   .result_max = strtoull(argv[19], NULL, 10)};
  uint8_t *head = NULL;
  size_t length = 0;
  if (!contract_encode(&request, &head, &length)) return 1;
  (void)fwrite(head, 1, length, stdout);
  (void)fwrite(request.payload.data, 1, request.payload.length, stdout);
  free(head);
  return 0;
}

static void print(const char *name, struct slice slice) {
  (void)printf("%s ", name);
  for (size_t i = 0; i < slice.length; i++) (void)printf("%02x", (unsigned char)slice.data[i]);
  (void)printf("\n");
}

static int decode(void) {
  struct invoke_response response;
  uint8_t *buffer = malloc(MESSAGE_MAX);
  if (buffer == NULL) return 2;
  size_t length = fread(buffer, 1, MESSAGE_MAX, stdin);
  bool good = contract_decode(buffer, length, &response);
  if (good && response.is_error) {
    (void)printf("call_id %llu\nkind %u\n", (unsigned long long)response.call_id, response.error.kind);
    print("code", response.error.code);
    print("message", response.error.message);
    print("request_id", response.error.request_id);
  } else if (good && response.part.length > 0) {
    (void)printf("call_id %llu\n", (unsigned long long)response.call_id);
    print("part", response.part);
  } else if (good) {
    (void)printf("call_id %llu\nstatus_code %u\n", (unsigned long long)response.call_id,
                 response.result.status_code);
    print("request_id", response.result.request_id);
    print("executed_version", response.result.executed_version);
    print("function_error", response.result.function_error);
    print("function_error_text", response.result.function_error_text);
    print("log_tail", response.result.log_tail);
    print("payload", response.result.payload);
  }
  free(buffer);
  return good ? 0 : 1;
}

int main(int argc, char **argv) {
  if (argc == 22 && strcmp(argv[1], "encode") == 0) return encode(argv + 2);
  if (argc == 2 && strcmp(argv[1], "decode") == 0) return decode();
  return 2;
}
