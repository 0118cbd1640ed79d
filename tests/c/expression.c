/* Each function names what it stands for in mysqld 8.4's or 9.7's sql/.
 * Must not be more careful with memory than they are: that is what is shown. */
#include "expression.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory) {
  if (memory == NULL) abort();
  return memory;
}

static void string_free(struct string *string) {
  if (string->owned) free(string->bytes);
  *string = (struct string){.bytes = NULL};
}

/* String::alloc */
static void string_alloc(struct string *string, size_t room) {
  if (room >= string->room) {
    string_free(string);
    *string = (struct string){.bytes = checked(malloc(room + 1)), .room = room + 1, .owned = true};
  }
  string->length = 0;
}

/* String::mem_realloc */
static void string_grow(struct string *string, size_t room) {
  if (string->room > room) return;
  if (string->owned) {
    string->bytes = checked(realloc(string->bytes, room + 1));
  } else {
    char *bytes = checked(malloc(room + 1));
    if (string->length > 0) memcpy(bytes, string->bytes, string->length);
    string->bytes = bytes;
    string->owned = true;
  }
  string->room = room + 1;
}

/* String::append; memmove, so that overlap gives the bytes that it gives in mysqld. */
static void string_append(struct string *string, const struct string *other) {
  string_grow(string, string->length + other->length);
  memmove(string->bytes + string->length, other->bytes, other->length);
  string->length += other->length;
}

/* String::copy with a conversion, from latin1 if that is what it is. */
static void string_convert(struct string *string, const struct string *from, bool latin1) {
  string_alloc(string, 2 * from->length);
  for (size_t i = 0; i < from->length; i++) {
    unsigned char c = (unsigned char)from->bytes[i];
    if (latin1 && c >= 0x80) string->bytes[string->length++] = (char)(0xc0 | c >> 6);
    string->bytes[string->length++] = (char)(latin1 && c >= 0x80 ? 0x80 | (c & 0x3f) : c);
  }
}

/* String::c_ptr_safe */
static char *string_c(struct string *string) {
  if (string->bytes == NULL || string->length >= string->room) string_grow(string, string->length);
  string->bytes[string->length] = '\0';
  return string->bytes;
}

/* Field_long::val_str: written into the buffer that is given. */
static struct string *number(struct string *buffer, long id) {
  char digits[32];
  size_t length = (size_t)snprintf(digits, sizeof digits, "%ld", id);
  string_alloc(buffer, length);
  memcpy(buffer->bytes, digits, length);
  buffer->length = length;
  return buffer;
}

/* Field_blob::val_str */
static struct string *text(struct expression *expression, long id) {
  string_alloc(&expression->text, expression->growth * (size_t)(id - 1));
  expression->text.length = expression->growth * (size_t)(id - 1);
  memset(expression->text.bytes, 'x', expression->text.length);
  return &expression->text;
}

/* Item_string::val_str, Item_func_concat::val_str */
static struct string *evaluate(struct expression *expression, struct string *buffer, long id) {
  if (!expression->computed) return &expression->prefix;
  expression->value.length = 0;
  string_append(&expression->value, &expression->prefix);
  string_append(&expression->value, text(expression, id));
  string_append(&expression->value, number(buffer, id));
  string_append(&expression->value, &expression->suffix);
  return &expression->value;
}

/* udf_handler::get_and_convert_string of 8.4 */
static struct string *convert_8(struct handed *handed, struct string *value, const char *collation) {
  const char *own = handed->expression->collation;
  if (strcmp(own, collation) != 0) {
    struct string converted = {.bytes = NULL};
    string_convert(&converted, value, strncmp(own, "latin1", 6) == 0);
    string_free(value);
    *value = converted;
  } else if (value != &handed->buffer) {
    string_free(&handed->buffer);
    handed->buffer = *value;
    handed->buffer.owned = false;
    value = &handed->buffer;
  }
  return value;
}

/* udf_handler::get_and_convert_string of 9.7 */
static struct string *convert_9(struct handed *handed, struct string *value) {
  bool latin1 = strncmp(handed->expression->collation, "latin1", 6) == 0;
  string_convert(&handed->converted, value, latin1);
  return &handed->converted;
}

void hand_over(struct handed *handed, UDF_ARGS *args, unsigned int index, const char *collation, long id,
               bool copies) {
  struct string *value = evaluate(handed->expression, &handed->buffer, id);
  if (args->arg_type[index] == STRING_RESULT) {
    value = copies ? convert_9(handed, value) : convert_8(handed, value, collation);
    args->args[index] = string_c(value);
  } else if (args->arg_type[index] == DECIMAL_RESULT) { /* udf_handler::get_string */
    args->args[index] = value->bytes;
  } else {
    abort(); /* a number would not be a string */
  }
  args->lengths[index] = value->length;
}

void handed_free(struct handed *handed) {
  string_free(&handed->buffer);
  string_free(&handed->converted);
  if (handed->expression == NULL) return;
  string_free(&handed->expression->prefix);
  string_free(&handed->expression->suffix);
  string_free(&handed->expression->text);
  string_free(&handed->expression->value);
}
