/* Writes JSON text into a buffer that grows: strings, numbers, base64. Pure; knows nothing of SQL. */
#ifndef LAMBDA_UDF_JSON_WRITE_H
#define LAMBDA_UDF_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A buffer that grows; zero is an empty one. data is NULL as long as nothing was added. */
struct bytes {
  char *data;
  size_t length;
  size_t size; /* of what is allocated */
};

/* Makes room for so many bytes more. False: there is no memory, and the buffer is as before. */
bool bytes_reserve(struct bytes *bytes, size_t more);
bool bytes_add(struct bytes *bytes, const char *data, size_t length);
/* The same for a C string. */
bool bytes_add_text(struct bytes *bytes, const char *text);
/* Gives the memory back; it is an empty one again. */
void bytes_free(struct bytes *bytes);

/* After everything but WRITTEN the buffer is as before. */
enum json_written {
  WRITTEN = 0,
  WRITTEN_NO_MEMORY,
  WRITTEN_NOT_UTF8,     /* the text is not UTF-8 */
  WRITTEN_NOT_A_NUMBER, /* the digits are none, or the double is infinite or NaN */
};

/* The text as a JSON string: UTF-8 as it is, but for '"', '\' and control characters (RFC 8259, section 7).
 */
enum json_written json_write_string(struct bytes *bytes, const char *text, size_t length);

/* Any bytes as a JSON string in base64 (RFC 4648, section 4: with padding). */
enum json_written json_write_base64(struct bytes *bytes, const void *data, size_t length);

enum json_written json_write_integer(struct bytes *bytes, int64_t number);
enum json_written json_write_unsigned(struct bytes *bytes, uint64_t number);

/* As few digits as read back as the same double; an integral one has no fraction. */
enum json_written json_write_double(struct bytes *bytes, double number);

/* A number that is there as text, digit by digit as it is, but for leading zeros (ZEROFILL), which JSON does
 * not allow. */
enum json_written json_write_digits(struct bytes *bytes, const char *digits, size_t length);

#endif
