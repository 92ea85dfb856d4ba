/* png.h - a PNG encoder that takes one row at a time (8 bit RGB, PNG specification third edition). */
#ifndef PNG_H
#define PNG_H

#include <stdint.h>

enum { PNG_MAX_WIDTH = 2000 };

/* Begins a picture that is written to out, at most cap bytes. */
void png_begin(uint8_t *out, uint32_t cap, uint32_t width, uint32_t height);
/* Adds the next row: width * 3 bytes. */
void png_row(const uint8_t *pixels);
/* Ends the picture after its last row; returns its size in bytes, or 0 when it did not fit. */
uint32_t png_end(void);

#endif
