/* Unit tests of udf/contract.c on bytes written by hand; tests/sql/test_library_c.py compares with Python.
 * Knows protobuf's wire format and the contract's field numbers. */
#include "contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants the five above first. */
#include <cmocka.h>

/* call_id 7, result {status_code 200, request_id "r-1", executed_version "3", function_error "Unhandled",
 * function_error_text "text", log_tail "log", payload "{}"} */
static const uint8_t result[] =
    "\x08\x07\x12\x25\x08\xc8\x01\x12\x03r-1\x1a\x01"
    "3\x22\x09Unhandled\x2a\x04text\x32\x03log\x7a\x02{}";
#define RESULT_LENGTH (sizeof result - 1)

/* call_id 300, error {kind 5, code "Code", message "message"} */
static const uint8_t error[] =
    "\x08\xac\x02\x1a\x11\x08\x05\x12\x04"
    "Code\x1a\x07message";
#define ERROR_LENGTH (sizeof error - 1)

static bool inside(const uint8_t *bytes, size_t length, struct slice slice) {
  const uint8_t *data = (const uint8_t *)slice.data;
  return slice.length == 0 || (data >= bytes && data + slice.length <= bytes + length);
}

/* Decodes an exact copy and looks that every slice lies in it. */
static bool decode(const uint8_t *bytes, size_t length, struct invoke_response *response) {
  uint8_t *copy = malloc(length > 0 ? length : 1);
  assert_non_null(copy);
  memcpy(copy, bytes, length);
  bool good = contract_decode(copy, length, response);
  const struct slice slices[] = {
      response->result.request_id,
      response->result.executed_version,
      response->result.function_error,
      response->result.function_error_text,
      response->result.log_tail,
      response->result.payload,
      response->error.code,
      response->error.message,
      response->error.request_id,
      response->part,
  };
  for (size_t i = 0; good && i < sizeof slices / sizeof slices[0]; i++)
    assert_true(inside(copy, length, slices[i]));
  free(copy);
  return good;
}

static void assert_slice(struct slice slice, const char *expected) {
  assert_int_equal(slice.length, strlen(expected));
  if (slice.length > 0) assert_memory_equal(slice.data, expected, slice.length);
}

static void a_result_decodes(void **state) {
  struct invoke_response response;
  (void)state;
  assert_true(contract_decode(result, RESULT_LENGTH, &response));
  assert_false(response.is_error);
  assert_int_equal(response.call_id, 7);
  assert_int_equal(response.result.status_code, 200);
  assert_slice(response.result.request_id, "r-1");
  assert_slice(response.result.executed_version, "3");
  assert_slice(response.result.function_error, "Unhandled");
  assert_slice(response.result.function_error_text, "text");
  assert_slice(response.result.log_tail, "log");
  assert_slice(response.result.payload, "{}");
}

static void an_error_decodes(void **state) {
  struct invoke_response response;
  (void)state;
  assert_true(contract_decode(error, ERROR_LENGTH, &response));
  assert_true(response.is_error);
  assert_int_equal(response.call_id, 300);
  assert_int_equal(response.error.kind, INVOKE_ERROR_API);
  assert_slice(response.error.code, "Code");
  assert_slice(response.error.message, "message");
}

static void no_truncated_message_decodes(void **state) {
  struct invoke_response response;
  (void)state;
  for (size_t length = 0; length < RESULT_LENGTH; length++) assert_false(decode(result, length, &response));
  for (size_t length = 0; length < ERROR_LENGTH; length++) assert_false(decode(error, length, &response));
}

static void a_mutated_message_never_points_outside(void **state) {
  struct invoke_response response;
  uint8_t bytes[RESULT_LENGTH];
  (void)state;
  for (size_t at = 0; at < RESULT_LENGTH; at++) {
    for (unsigned int value = 0; value < 256; value++) {
      memcpy(bytes, result, RESULT_LENGTH);
      bytes[at] = (uint8_t)value;
      (void)decode(bytes, RESULT_LENGTH, &response);
    }
  }
}

/* nanopb hands the callback of such a field a buffer of its own. */
static void a_number_where_bytes_belong_is_refused(void **state) {
  static const uint8_t fields[] = {2, 3, 4, 5, 6, 15};
  struct invoke_response response;
  (void)state;
  for (size_t i = 0; i < sizeof fields; i++) {
    uint8_t tag = (uint8_t)(fields[i] << 3);
    const uint8_t varint[] = {0x08, 1, 0x12, 2, tag, 1};
    const uint8_t fixed64[] = {0x08, 1, 0x12, 9, tag | 1, 'A', 'B', 'C', 'D', 'E', 'F', 0, 0};
    const uint8_t fixed32[] = {0x08, 1, 0x12, 5, tag | 5, 'A', 'B', 'C', 'D'};
    assert_false(decode(varint, sizeof varint, &response));
    assert_false(decode(fixed64, sizeof fixed64, &response));
    assert_false(decode(fixed32, sizeof fixed32, &response));
  }
}

static void bytes_where_a_number_belongs_are_refused(void **state) {
  const uint8_t call_id[] = {0x0a, 1, 'x', 0x12, 0}, outcome[] = {0x08, 1, 0x10, 1};
  struct invoke_response response;
  (void)state;
  assert_false(decode(call_id, sizeof call_id, &response));
  assert_false(decode(outcome, sizeof outcome, &response));
}

static void an_answer_without_an_outcome_is_refused(void **state) {
  const uint8_t only_call_id[] = {0x08, 1};
  struct invoke_response response;
  (void)state;
  assert_false(decode(only_call_id, sizeof only_call_id, &response));
  assert_false(decode(only_call_id, 0, &response));
}

static void a_part_stands_instead_of_an_outcome(void **state) {
  static const uint8_t part[] = {0x08, 0xac, 2, 0x32, 4, 'p', 'a', 0, 't'};
  struct invoke_response response;
  (void)state;
  assert_true(contract_decode(part, sizeof part, &response));
  assert_int_equal(response.call_id, 300);
  assert_int_equal(response.part.length, 4);
  assert_memory_equal(response.part.data, "pa\0t", 4);
  assert_false(response.is_error);
  assert_int_equal(response.more_count, 0);
  for (size_t length = 0; length < sizeof part; length++) assert_false(decode(part, length, &response));
}

static void a_part_beside_an_outcome_is_refused(void **state) {
  static const uint8_t part[] = {0x32, 1, 'p'};
  struct invoke_response response;
  uint8_t both[RESULT_LENGTH + ERROR_LENGTH + sizeof part];
  (void)state;
  memcpy(both, result, RESULT_LENGTH);
  memcpy(both + RESULT_LENGTH, part, sizeof part);
  assert_false(decode(both, RESULT_LENGTH + sizeof part, &response));
  memcpy(both, part, sizeof part);
  memcpy(both + sizeof part, result, RESULT_LENGTH);
  assert_false(decode(both, sizeof part + RESULT_LENGTH, &response));
  memcpy(both + sizeof part, error, ERROR_LENGTH);
  assert_false(decode(both, sizeof part + ERROR_LENGTH, &response));
}

/* Otherwise a peer could have parts without end read that bring nothing nearer to its limit. */
static void an_empty_part_is_none(void **state) {
  static const uint8_t empty[] = {0x08, 1, 0x32, 0}, beside[] = {0x08, 1, 0x32, 0, 0x12, 0};
  struct invoke_response response;
  (void)state;
  assert_false(decode(empty, sizeof empty, &response));
  assert_true(decode(beside, sizeof beside, &response));
  assert_int_equal(response.part.length, 0);
}

static void a_number_where_a_part_belongs_is_refused(void **state) {
  static const uint8_t varint[] = {0x08, 1, 0x30, 1}, fixed32[] = {0x08, 1, 0x35, 'A', 'B', 'C', 'D'};
  struct invoke_response response;
  (void)state;
  assert_false(decode(varint, sizeof varint, &response));
  assert_false(decode(fixed32, sizeof fixed32, &response));
}

static void an_empty_result_is_a_result(void **state) {
  const uint8_t empty[] = {0x08, 1, 0x12, 0};
  struct invoke_response response;
  (void)state;
  assert_true(decode(empty, sizeof empty, &response));
  assert_false(response.is_error);
  assert_int_equal(response.result.status_code, 0);
  assert_int_equal(response.result.payload.length, 0);
}

static void of_two_outcomes_the_last_counts(void **state) {
  uint8_t both[RESULT_LENGTH + ERROR_LENGTH];
  struct invoke_response response;
  (void)state;
  memcpy(both, result, RESULT_LENGTH);
  memcpy(both + RESULT_LENGTH, error, ERROR_LENGTH);
  assert_true(decode(both, sizeof both, &response));
  assert_true(response.is_error);
  assert_int_equal(response.call_id, 300);
  memcpy(both, error, ERROR_LENGTH);
  memcpy(both + ERROR_LENGTH, result, RESULT_LENGTH);
  assert_true(decode(both, sizeof both, &response));
  assert_false(response.is_error);
  assert_int_equal(response.call_id, 7);
}

/* A newer sidecar may say more. */
static void unknown_fields_are_skipped(void **state) {
  const uint8_t unknown[] = {0x08, 1,    0xa0, 0x06, 5,    0xa2, 0x06, 2,  'x',
                             'y',  0x12, 5,    0xa2, 0x06, 2,    'x',  'y'};
  struct invoke_response response;
  (void)state;
  assert_true(decode(unknown, sizeof unknown, &response));
  assert_int_equal(response.call_id, 1);
}

static void an_error_kind_of_a_newer_sidecar_keeps_its_number(void **state) {
  const uint8_t newer[] = {0x08, 1, 0x1a, 3, 0x08, 0xe7, 0x07};
  struct invoke_response response;
  (void)state;
  assert_true(decode(newer, sizeof newer, &response));
  assert_int_equal(response.error.kind, 999);
}

static void the_head_of_a_request_ends_with_the_payloads_length(void **state) {
  struct invoke_request request = {.call_id = 1,
                                   .type = INVOCATION_EVENT,
                                   .timeout_ms = 5,
                                   .deadline_ms = 300,
                                   .function = {.data = "f", .length = 1},
                                   .payload = {.data = "unused", .length = 300},
                                   .user = {.data = "u", .length = 1}};
  static const uint8_t expected[] = {0x08, 1,    0x12, 1,   'f',  0x18, 2, 0x20, 5,    0x2a,
                                     3,    0x0a, 1,    'u', 0x40, 0xac, 2, 0x7a, 0xac, 2};
  uint8_t *head = NULL;
  size_t length = 0;
  (void)state;
  assert_true(contract_encode(&request, &head, &length));
  assert_int_equal(length, sizeof expected);
  assert_memory_equal(head, expected, sizeof expected);
  free(head);
}

static void the_most_of_a_result_is_sent_by_who_takes_parts(void **state) {
  struct invoke_request request = {.call_id = 1, .payload = {.data = "", .length = 0}};
  static const uint8_t expected[] = {0x08, 1, 0x2a, 0, 0xa8, 0x01, 0x80, 0x80, 0x80, 0x80, 0x04, 0x7a, 0};
  static const uint8_t without[] = {0x08, 1, 0x2a, 0, 0x7a, 0};
  uint8_t *head = NULL;
  size_t length = 0;
  (void)state;
  assert_true(contract_encode(&request, &head, &length));
  assert_int_equal(length, sizeof without);
  assert_memory_equal(head, without, sizeof without);
  free(head);
  request.result_max = 1073741824;
  assert_true(contract_encode(&request, &head, &length));
  assert_int_equal(length, sizeof expected);
  assert_memory_equal(head, expected, sizeof expected);
  free(head);
}

/* Protobuf's own rule: what comes later in a message belongs to it, too. */
static void further_answers_decode_one_by_one(void **state) {
  uint8_t message[RESULT_LENGTH + 2 + ERROR_LENGTH + 2 + RESULT_LENGTH];
  struct invoke_response response, more;
  uint8_t *to = message;
  (void)state;
  memcpy(to, result, RESULT_LENGTH), to += RESULT_LENGTH;
  *to++ = 0x2a, *to++ = ERROR_LENGTH;
  memcpy(to, error, ERROR_LENGTH), to += ERROR_LENGTH;
  *to++ = 0x2a, *to++ = RESULT_LENGTH;
  memcpy(to, result, RESULT_LENGTH);
  assert_true(contract_decode(message, sizeof message, &response));
  assert_int_equal(response.call_id, 7);
  assert_int_equal(response.more_count, 2);
  assert_true(contract_decode((const uint8_t *)response.more[0].data, response.more[0].length, &more));
  assert_int_equal(more.call_id, 300);
  assert_int_equal(more.more_count, 0);
  assert_true(contract_decode((const uint8_t *)response.more[1].data, response.more[1].length, &more));
  assert_slice(more.result.payload, "{}");
}

static void more_further_answers_than_there_may_be_are_refused(void **state) {
  uint8_t message[RESULT_LENGTH + 2 * (CONTRACT_MORE_MAX + 1)];
  struct invoke_response response;
  (void)state;
  memcpy(message, result, RESULT_LENGTH);
  for (size_t at = RESULT_LENGTH; at < sizeof message; at += 2) message[at] = 0x2a, message[at + 1] = 0;
  assert_true(contract_decode(message, sizeof message - 2, &response));
  assert_int_equal(response.more_count, CONTRACT_MORE_MAX);
  assert_false(contract_decode(message, sizeof message, &response));
}

static void several_requests_are_the_first_and_its_more(void **state) {
  struct invoke_request requests[1 + CONTRACT_MORE_MAX];
  const struct invoke_request *pointers[1 + CONTRACT_MORE_MAX];
  uint8_t *one = NULL, *all = NULL;
  size_t head = 0, length = 0;
  (void)state;
  for (size_t i = 0; i < 1 + CONTRACT_MORE_MAX; i++) {
    requests[i] = (struct invoke_request){.call_id = 1, .timeout_ms = 5, .payload = {"{}", 2}};
    pointers[i] = &requests[i];
  }
  assert_true(contract_encode(&requests[0], &one, &head));
  assert_true(contract_encode_all(pointers, 1 + CONTRACT_MORE_MAX, &all, &length));
  size_t each = head + 2;
  assert_int_equal(length, each + CONTRACT_MORE_MAX * (3 + each));
  for (size_t i = 0, at = 0; i < 1 + CONTRACT_MORE_MAX; i++) {
    if (i > 0) {
      const uint8_t tag[] = {0x8a, 0x01, (uint8_t)each}; /* field 17, bytes */
      assert_memory_equal(all + at, tag, sizeof tag);
      at += sizeof tag;
    }
    assert_memory_equal(all + at, one, head);
    assert_memory_equal(all + at + head, "{}", 2);
    at += each;
  }
  free(one);
  free(all);
}

static struct slice of(const char *text) { return (struct slice){.data = text, .length = strlen(text)}; }

static void only_plain_text_of_few_bytes_stands_in_json_as_it_is(void **state) {
  (void)state;
  const char *const refused[] = {"", "a b", "\"", "\\", "\x1b", "\xc3\xa9", "a,b", "12345"};
  assert_int_equal(slice_if_plain(of("0.1.412"), 7).length, 7);
  assert_int_equal(slice_if_plain(of("aZ9_-+."), 7).length, 7);
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    struct slice left = slice_if_plain(of(refused[i]), 4);
    assert_int_equal(left.length, 0);
    assert_non_null(left.data);
  }
  assert_int_equal(slice_if_plain((struct slice){.data = "a\0b", .length = 3}, 4).length, 0);
  assert_int_equal(slice_if_plain((struct slice){.data = NULL, .length = 0}, 4).length, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_result_decodes),
      cmocka_unit_test(an_error_decodes),
      cmocka_unit_test(further_answers_decode_one_by_one),
      cmocka_unit_test(more_further_answers_than_there_may_be_are_refused),
      cmocka_unit_test(several_requests_are_the_first_and_its_more),
      cmocka_unit_test(no_truncated_message_decodes),
      cmocka_unit_test(a_mutated_message_never_points_outside),
      cmocka_unit_test(a_number_where_bytes_belong_is_refused),
      cmocka_unit_test(bytes_where_a_number_belongs_are_refused),
      cmocka_unit_test(an_answer_without_an_outcome_is_refused),
      cmocka_unit_test(a_part_stands_instead_of_an_outcome),
      cmocka_unit_test(a_part_beside_an_outcome_is_refused),
      cmocka_unit_test(an_empty_part_is_none),
      cmocka_unit_test(a_number_where_a_part_belongs_is_refused),
      cmocka_unit_test(an_empty_result_is_a_result),
      cmocka_unit_test(of_two_outcomes_the_last_counts),
      cmocka_unit_test(unknown_fields_are_skipped),
      cmocka_unit_test(an_error_kind_of_a_newer_sidecar_keeps_its_number),
      cmocka_unit_test(the_head_of_a_request_ends_with_the_payloads_length),
      cmocka_unit_test(the_most_of_a_result_is_sent_by_who_takes_parts),
      cmocka_unit_test(only_plain_text_of_few_bytes_stands_in_json_as_it_is),
  };
  return cmocka_run_group_tests_name("contract", tests, NULL, NULL);
}
