/* Requests and responses of the contract, with nanopb.
 * Must not know how they travel. */
#include "contract.h"

#include <pb_decode.h>
#include <pb_encode.h>
#include <stdlib.h>
#include <string.h>

#include "lambda_udf/v1/invoker.pb.h"

struct slice slice_or(struct slice text, size_t max, const char *instead) {
  if (text.length == 0) text = (struct slice){.data = instead, .length = strlen(instead)};
  if (text.length > max) text.length = max;
  return text;
}

struct slice slice_if_plain(struct slice text, size_t max) {
  static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.+";
  const struct slice none = {.data = ""};
  if (text.length == 0 || text.length > max) return none;
  for (size_t i = 0; i < text.length; i++)
    if (text.data[i] == '\0' || strchr(allowed, text.data[i]) == NULL) return none;
  return text;
}

static bool encode_slice(pb_ostream_t *stream, const pb_field_t *field, void *const *arg) {
  const struct slice *slice = *arg;
  return pb_encode_tag_for_field(stream, field) &&
         pb_encode_string(stream, (const pb_byte_t *)slice->data, slice->length);
}

static pb_callback_t sending(const struct slice *slice) {
  if (slice->length == 0) return (pb_callback_t){.arg = NULL}; /* proto3: a default value is not sent */
  return (pb_callback_t){.funcs.encode = encode_slice, .arg = (void *)(uintptr_t)slice};
}

/* The payload's tag and length, which stand last. */
static bool encode_payload_prefix(pb_ostream_t *stream, size_t length) {
  return pb_encode_tag(stream, PB_WT_STRING, lambda_udf_v1_InvokeRequest_payload_tag) &&
         pb_encode_varint(stream, length);
}

static bool encode_head(pb_ostream_t *stream, const lambda_udf_v1_InvokeRequest *message,
                        size_t payload_length) {
  return pb_encode(stream, lambda_udf_v1_InvokeRequest_fields, message) &&
         encode_payload_prefix(stream, payload_length);
}

static void set_batch(lambda_udf_v1_InvokeRequest *message, const struct invoke_batch *batch) {
  if (batch->contract == BATCH_NONE) return;
  message->has_batch = true;
  message->batch.contract = (lambda_udf_v1_BatchContract)batch->contract;
  message->batch.rows = batch->rows;
  message->batch.number = batch->number;
  message->batch.query_id = sending(&batch->query_id);
  message->batch.signature = sending(&batch->signature);
  message->batch.retry_service_errors = batch->retry_service_errors;
}

bool contract_encode(const struct invoke_request *request, uint8_t **head, size_t *head_length) {
  lambda_udf_v1_InvokeRequest message = lambda_udf_v1_InvokeRequest_init_zero;
  message.call_id = request->call_id;
  message.function = sending(&request->function);
  message.invocation_type = (lambda_udf_v1_InvocationType)request->type;
  message.timeout_ms = request->timeout_ms;
  message.deadline_ms = request->deadline_ms;
  message.options_json = sending(&request->options);
  message.qualifier = sending(&request->qualifier);
  message.region = sending(&request->region);
  message.role = sending(&request->role);
  message.tenant_id = sending(&request->tenant_id);
  message.callback_options_json = sending(&request->callback_options);
  message.durable_execution_name = sending(&request->durable_name);
  message.fails_together = request->fails_together;
  message.takes_more = request->takes_more;
  message.answer_form = (lambda_udf_v1_AnswerForm)request->answer_form;
  set_batch(&message, &request->batch);
  message.has_caller = true;
  message.caller.user = sending(&request->user);
  message.caller.host = sending(&request->host);
  message.caller.schema = sending(&request->schema);
  message.caller.connection_id = request->connection_id;
  message.traceparent = sending(&request->traceparent);
  message.result_max = request->result_max;

  pb_ostream_t sizing = PB_OSTREAM_SIZING;
  if (!encode_head(&sizing, &message, request->payload.length)) return false;
  uint8_t *bytes = malloc(sizing.bytes_written);
  if (bytes == NULL) return false;
  pb_ostream_t stream = pb_ostream_from_buffer(bytes, sizing.bytes_written);
  if (!encode_head(&stream, &message, request->payload.length)) {
    free(bytes);
    return false;
  }
  *head = bytes;
  *head_length = stream.bytes_written;
  return true;
}

/* A request's encoded parts, as contract_encode() gives them. */
struct encoded {
  uint8_t *head;
  size_t head_length;
  struct slice payload;
};

static void put(uint8_t **to, const void *bytes, size_t length) {
  if (length > 0) memcpy(*to, bytes, length);
  *to += length;
}

/* A tag and a length, each a varint of ten bytes at most. */
#define MORE_HEAD_MAX 20

static void put_one(uint8_t **to, const struct encoded *one, bool is_first) {
  if (!is_first) {
    pb_ostream_t stream = pb_ostream_from_buffer(*to, MORE_HEAD_MAX);
    (void)pb_encode_tag(&stream, PB_WT_STRING, lambda_udf_v1_InvokeRequest_more_tag);
    (void)pb_encode_varint(&stream, one->head_length + one->payload.length);
    *to += stream.bytes_written;
  }
  put(to, one->head, one->head_length);
  put(to, one->payload.data, one->payload.length);
}

/* Protobuf's fields may come in any order: what follows the first request's is its `more`. */
static bool put_all(const struct encoded *all, size_t count, uint8_t **message, size_t *length) {
  size_t room = 1; /* malloc(0) may be NULL */
  for (size_t i = 0; i < count; i++) room += all[i].head_length + all[i].payload.length + MORE_HEAD_MAX;
  uint8_t *bytes = malloc(room), *to = bytes;
  if (bytes == NULL) return false;
  for (size_t i = 0; i < count; i++) put_one(&to, &all[i], i == 0);
  *message = bytes;
  *length = (size_t)(to - bytes);
  return true;
}

bool contract_encode_all(const struct invoke_request *const *requests, size_t count, uint8_t **message,
                         size_t *length) {
  struct encoded all[1 + CONTRACT_MORE_MAX];
  size_t done = 0;
  while (done < count) {
    all[done].payload = requests[done]->payload;
    if (!contract_encode(requests[done], &all[done].head, &all[done].head_length)) break;
    done++;
  }
  bool whole = done == count && put_all(all, count, message, length);
  while (done > 0) free(all[--done].head);
  return whole;
}

/* A stream of our own, so that a field's callback knows where in the bytes it stands. */
struct cursor {
  const uint8_t *next;
};

static bool read_bytes(pb_istream_t *stream, pb_byte_t *to, size_t count) {
  struct cursor *cursor = stream->state;
  if (to != NULL) memcpy(to, cursor->next, count);
  cursor->next += count;
  return true;
}

static bool decode_slice(pb_istream_t *stream, const pb_field_t *field, void **arg) {
  struct slice *slice = *arg;
  (void)field;
  /* A number where bytes belong: nanopb then hands a copy in a buffer of its own, not our cursor. */
  if (stream->callback != read_bytes) return false;
  struct cursor *cursor = stream->state;
  slice->data = (const char *)cursor->next;
  slice->length = stream->bytes_left;
  cursor->next += stream->bytes_left; /* pb_read() would skip 16 bytes at a time: 8 ms for 6 MB */
  stream->bytes_left = 0;
  return true;
}

/* Another answer in the same message. */
static bool decode_more(pb_istream_t *stream, const pb_field_t *field, void **arg) {
  struct invoke_response *response = *arg;
  if (response->more_count == CONTRACT_MORE_MAX) return false;
  void *slice = &response->more[response->more_count++];
  return decode_slice(stream, field, &slice);
}

static pb_callback_t taking(struct slice *slice) {
  return (pb_callback_t){.funcs.decode = decode_slice, .arg = slice};
}

static void take_result(lambda_udf_v1_InvokeResult *message, struct invoke_result *result) {
  message->request_id = taking(&result->request_id);
  message->executed_version = taking(&result->executed_version);
  message->function_error = taking(&result->function_error);
  message->function_error_text = taking(&result->function_error_text);
  message->log_tail = taking(&result->log_tail);
  message->payload = taking(&result->payload);
}

static void take_error(lambda_udf_v1_InvokeError *message, struct invoke_error *error) {
  message->code = taking(&error->code);
  message->message = taking(&error->message);
  message->request_id = taking(&error->request_id);
}

/* Called before a submessage of the oneof is decoded: only now can its callbacks be set. Of two the last
 * counts. */
static bool decode_outcome(pb_istream_t *stream, const pb_field_t *field, void **arg) {
  struct invoke_response *response = *arg;
  (void)stream;
  response->is_error = field->tag == lambda_udf_v1_InvokeResponse_error_tag;
  if (response->is_error)
    take_error(field->pData, &response->error);
  else if (field->tag == lambda_udf_v1_InvokeResponse_result_tag)
    take_result(field->pData, &response->result);
  return true;
}

struct slice contract_checked_id(struct slice id) {
  return slice_if_plain(id, CONTRACT_REQUEST_ID_MAX);
}

bool contract_decode(const uint8_t *bytes, size_t length, struct invoke_response *response) {
  struct cursor cursor = {.next = bytes};
  pb_istream_t stream = {.callback = read_bytes, .state = &cursor, .bytes_left = length};
  lambda_udf_v1_InvokeResponse message = lambda_udf_v1_InvokeResponse_init_zero;

  memset(response, 0, sizeof *response);
  message.cb_outcome.funcs.decode = decode_outcome;
  message.cb_outcome.arg = response;
  message.more = (pb_callback_t){.funcs.decode = decode_more, .arg = response};
  message.part = taking(&response->part);
  if (!pb_decode(&stream, lambda_udf_v1_InvokeResponse_fields, &message)) return false;
  response->call_id = message.call_id;
  response->queued_us = message.queued_us;
  if (message.which_outcome == lambda_udf_v1_InvokeResponse_result_tag)
    response->result.status_code = message.outcome.result.status_code;
  else if (message.which_outcome == lambda_udf_v1_InvokeResponse_error_tag)
    response->error.kind = message.outcome.error.kind;
  else
    return response->part.length > 0;
  return response->part.length == 0;
}
