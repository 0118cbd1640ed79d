/* Unit tests of udf/grpc_wire.c and decimal.c: framing at every split, limits, percent-decoding, numbers.
 * Knows the header's contract only. */
#include "grpc_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants the five above first. */
#include <cmocka.h>

#include "decimal.h"

#define MESSAGES 5
#define STREAM_MAX 256

static const size_t lengths[MESSAGES] = {3, 0, 7, 0, 1};

/* Several messages back to back; returns their bytes' number. */
static size_t make_stream(uint8_t *stream) {
  size_t at = 0;
  for (uint8_t i = 0; i < MESSAGES; i++) {
    grpc_prefix_write(stream + at, (uint32_t)lengths[i]);
    at += GRPC_PREFIX_SIZE;
    memset(stream + at, 'a' + i, lengths[i]);
    at += lengths[i];
  }
  return at;
}

/* Feeds an exact copy, so that reading past a chunk is seen. */
static enum grpc_read feed(struct grpc_reader *reader, const uint8_t *bytes, size_t length) {
  uint8_t *copy = malloc(length > 0 ? length : 1);
  assert_non_null(copy);
  memcpy(copy, bytes, length);
  enum grpc_read read = grpc_reader_feed(reader, copy, length);
  free(copy);
  return read;
}

static void assert_all_messages(struct grpc_reader *reader) {
  for (uint8_t i = 0; i < MESSAGES; i++) {
    struct grpc_message *message = grpc_reader_take(reader);
    assert_non_null(message);
    assert_int_equal(message->length, lengths[i]);
    for (size_t at = 0; at < message->length; at++) assert_int_equal(message->bytes[at], 'a' + i);
    assert_int_equal(message->bytes[message->length], 0);
    free(message);
  }
  assert_null(grpc_reader_take(reader));
}

static void messages_survive_every_split_in_three(void **state) {
  uint8_t stream[STREAM_MAX];
  size_t length = make_stream(stream);
  (void)state;
  for (size_t first = 0; first <= length; first++) {
    for (size_t second = first; second <= length; second++) {
      struct grpc_reader reader;
      grpc_reader_start(&reader, 7, MESSAGES);
      assert_int_equal(feed(&reader, stream, first), GRPC_READ_OK);
      assert_int_equal(feed(&reader, stream + first, second - first), GRPC_READ_OK);
      assert_int_equal(feed(&reader, stream + second, length - second), GRPC_READ_OK);
      assert_int_equal(reader.queued, MESSAGES);
      assert_all_messages(&reader);
      grpc_reader_end(&reader);
    }
  }
}

static void messages_survive_chunks_of_every_size(void **state) {
  uint8_t stream[STREAM_MAX];
  size_t length = make_stream(stream);
  (void)state;
  for (size_t size = 1; size <= length; size++) {
    struct grpc_reader reader;
    grpc_reader_start(&reader, 7, MESSAGES);
    for (size_t at = 0; at < length; at += size)
      assert_int_equal(feed(&reader, stream + at, length - at < size ? length - at : size), GRPC_READ_OK);
    assert_all_messages(&reader);
    grpc_reader_end(&reader);
  }
}

static void an_incomplete_message_is_freed_at_the_end(void **state) {
  uint8_t stream[STREAM_MAX];
  size_t length = make_stream(stream);
  (void)state;
  for (size_t cut = 0; cut < length; cut++) {
    struct grpc_reader reader;
    grpc_reader_start(&reader, 7, MESSAGES);
    assert_int_equal(feed(&reader, stream, cut), GRPC_READ_OK);
    grpc_reader_end(&reader); /* LeakSanitizer looks */
  }
}

static void a_message_can_be_taken_before_the_next_one_comes(void **state) {
  const uint8_t one[] = {0, 0, 0, 0, 1, 'x'};
  struct grpc_reader reader;
  (void)state;
  grpc_reader_start(&reader, 1, 1);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(feed(&reader, one, sizeof one), GRPC_READ_OK);
    struct grpc_message *message = grpc_reader_take(&reader);
    assert_non_null(message);
    assert_int_equal(message->bytes[0], 'x');
    free(message);
    assert_int_equal(reader.queued, 0);
  }
  grpc_reader_end(&reader);
}

static void the_prefix_of_a_length_reads_back(void **state) {
  static const uint32_t values[] = {0, 1, 255, 256, 65535, 65536, 0x00ffffff, 0x01020304, UINT32_MAX};
  (void)state;
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    uint8_t prefix[GRPC_PREFIX_SIZE];
    grpc_prefix_write(prefix, values[i]);
    assert_int_equal(prefix[0], 0);
    assert_int_equal(
        (uint32_t)prefix[1] << 24 | (uint32_t)prefix[2] << 16 | (uint32_t)prefix[3] << 8 | prefix[4],
        values[i]);
  }
}

static enum grpc_read feed_prefix(size_t max_length, size_t max_queued, const uint8_t *prefix) {
  struct grpc_reader reader;
  grpc_reader_start(&reader, max_length, max_queued);
  enum grpc_read read = feed(&reader, prefix, GRPC_PREFIX_SIZE);
  grpc_reader_end(&reader);
  return read;
}

static void a_compressed_message_is_refused(void **state) {
  (void)state;
  for (unsigned int flag = 1; flag < 256; flag++) {
    const uint8_t prefix[] = {(uint8_t)flag, 0, 0, 0, 0};
    assert_int_equal(feed_prefix(100, 1, prefix), GRPC_READ_COMPRESSED);
  }
}

static void a_message_over_the_limit_is_refused_before_memory_is_taken(void **state) {
  const uint8_t at_limit[] = {0, 0, 0, 1, 0}, above[] = {0, 0, 0, 1, 1}, most[] = {0, 255, 255, 255, 255};
  (void)state;
  assert_int_equal(feed_prefix(256, 1, at_limit), GRPC_READ_OK);
  assert_int_equal(feed_prefix(256, 1, above), GRPC_READ_TOO_LONG);
  assert_int_equal(feed_prefix(256, 1, most), GRPC_READ_TOO_LONG);
}

static void one_message_more_than_owed_is_refused(void **state) {
  const uint8_t two[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  struct grpc_reader reader;
  (void)state;
  grpc_reader_start(&reader, 10, 1);
  assert_int_equal(feed(&reader, two, sizeof two), GRPC_READ_TOO_MANY);
  assert_int_equal(reader.queued, 1); /* the one that was owed is still there */
  grpc_reader_end(&reader);
  assert_int_equal(feed_prefix(10, 0, two), GRPC_READ_TOO_MANY);
}

static void assert_decoded(const char *value, const char *expected) {
  char text[64];
  size_t length = strlen(value);
  uint8_t *copy = malloc(length > 0 ? length : 1); /* exact, without NUL */
  assert_non_null(copy);
  memcpy(copy, value, length);
  grpc_percent_decode(copy, length, text, sizeof text);
  free(copy);
  assert_string_equal(text, expected);
}

static void percent_decoding_follows_the_specification(void **state) {
  (void)state;
  assert_decoded("", "");
  assert_decoded("plain text", "plain text");
  assert_decoded("%41", "A");
  assert_decoded("a%20b%0Ac", "a b\nc");
  assert_decoded("%e2%82%AC", "\xe2\x82\xac");
  assert_decoded("%", "%");
  assert_decoded("%4", "%4");
  assert_decoded("100%", "100%");
  assert_decoded("%zz", "%zz");
  assert_decoded("%4z%41", "%4zA");
  assert_decoded("%%41", "%A");
  assert_decoded("%25%32%35", "%25");
  assert_decoded("%00rest", ""); /* a NUL ends the text */
}

static void decoded_text_is_cut_to_its_buffer(void **state) {
  const uint8_t value[] = "%41%42%43";
  (void)state;
  for (size_t size = 1; size <= 5; size++) {
    char *text = malloc(size);
    assert_non_null(text);
    grpc_percent_decode(value, sizeof value - 1, text, size);
    assert_int_equal(strlen(text), size - 1 < 3 ? size - 1 : 3);
    assert_memory_equal(text, "ABC", strlen(text));
    free(text);
  }
}

static void a_status_is_0_to_16_and_anything_else_is_unknown(void **state) {
  static const char *const wrong[] = {
      "", "17", "-1", "+1", " 1", "1 ", "0x1", "1a", "99999999999999999999999"};
  (void)state;
  for (unsigned int status = 0; status <= GRPC_STATUS_LAST; status++) {
    char text[8];
    int length = snprintf(text, sizeof text, "%u", status);
    assert_int_equal(grpc_status_parse((const uint8_t *)text, (size_t)length), status);
  }
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    assert_int_equal(grpc_status_parse((const uint8_t *)wrong[i], strlen(wrong[i])), GRPC_STATUS_UNKNOWN);
}

static void a_decimal_is_read_whole_or_not_at_all(void **state) {
  static const struct {
    const char *text;
    bool good;
    uint64_t number;
  } cases[] = {
      {"0", true, 0},
      {"007", true, 7},
      {"18446744073709551615", true, UINT64_MAX},
      {"18446744073709551616", false, 0},
      {"18446744073709551620", false, 0},
      {"184467440737095516150", false, 0},
      {"99999999999999999999", false, 0},
      {"", false, 0},
      {"-1", false, 0},
      {"+1", false, 0},
      {" 1", false, 0},
      {"1.0", false, 0},
      {"1\n", false, 0},
      {"\xd9\xa1", false, 0}, /* ARABIC-INDIC DIGIT ONE */
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    uint64_t number = 4711;
    assert_int_equal(decimal_parse(cases[i].text, strlen(cases[i].text), &number), cases[i].good);
    assert_true(number == (cases[i].good ? cases[i].number : 4711));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(messages_survive_every_split_in_three),
      cmocka_unit_test(messages_survive_chunks_of_every_size),
      cmocka_unit_test(an_incomplete_message_is_freed_at_the_end),
      cmocka_unit_test(a_message_can_be_taken_before_the_next_one_comes),
      cmocka_unit_test(the_prefix_of_a_length_reads_back),
      cmocka_unit_test(a_compressed_message_is_refused),
      cmocka_unit_test(a_message_over_the_limit_is_refused_before_memory_is_taken),
      cmocka_unit_test(one_message_more_than_owed_is_refused),
      cmocka_unit_test(percent_decoding_follows_the_specification),
      cmocka_unit_test(decoded_text_is_cut_to_its_buffer),
      cmocka_unit_test(a_status_is_0_to_16_and_anything_else_is_unknown),
      cmocka_unit_test(a_decimal_is_read_whole_or_not_at_all),
  };
  return cmocka_run_group_tests_name("grpc_wire", tests, NULL, NULL);
}
