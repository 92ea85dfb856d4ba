/* png.c - rows are filtered (PNG section 9), matched against the last 32 kB and written with deflate's fixed codes
 * (RFC 1951 section 3.2.6), inside of a zlib stream (RFC 1950), inside of one IDAT chunk. All memory is static. */
#include "png.h"

#include <string.h>

enum { WINDOW = 1 << 16, REACH = 1 << 15, HASHES = 1 << 13, LONGEST = 258, SHORTEST = 3, TRIES = 32 };

static uint8_t *out;
static uint32_t out_cap, out_len;
static int out_full;

static uint32_t row_bytes, idat; /* idat: where the chunk begins */
static uint8_t above[PNG_MAX_WIDTH * 3];

static uint8_t window[WINDOW];   /* a ring: what was written, by its position modulo WINDOW */
static uint32_t head[HASHES];    /* last position with this hash, plus 1 */
static uint32_t before[REACH];   /* the position before it with the same hash, plus 1 */
static uint32_t written, coded;  /* positions: bytes taken in, bytes encoded */
static uint32_t adler_a, adler_b;
static uint32_t bits, bit_count;

static void put(uint8_t byte) {
    if (out_len == out_cap) out_full = 1;
    else out[out_len++] = byte;
}

static void put32(uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) put((uint8_t)(value >> shift));
}

static uint32_t crc32(const uint8_t *at, uint32_t n) {
    static uint32_t table[256];
    uint32_t crc = ~0u;
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
            table[i] = c;
        }
    while (n--) crc = table[(crc ^ *at++) & 255] ^ crc >> 8;
    return ~crc;
}

static void chunk_end(uint32_t start) {
    uint32_t length = out_len - start - 8;
    if (out_full) return;
    for (int i = 0; i < 4; i++) out[start + (uint32_t)i] = (uint8_t)(length >> (24 - 8 * i));
    put32(crc32(out + start + 4, length + 4));
}

static uint32_t chunk_begin(const char *name) {
    uint32_t start = out_len;
    put32(0);
    for (int i = 0; i < 4; i++) put((uint8_t)name[i]);
    return start;
}

/* Plain numbers go out with their lowest bit first. */
static void put_bits(uint32_t value, uint32_t count) {
    bits |= value << bit_count;
    for (bit_count += count; bit_count >= 8; bit_count -= 8, bits >>= 8) put((uint8_t)bits);
}

/* Huffman codes go out with their highest bit first. */
static void put_code(uint32_t code, uint32_t count) {
    uint32_t turned = 0;
    for (uint32_t i = 0; i < count; i++) turned |= (code >> i & 1) << (count - 1 - i);
    put_bits(turned, count);
}

static void put_symbol(uint32_t symbol) {
    if (symbol < 144) put_code(0x30 + symbol, 8);
    else if (symbol < 256) put_code(0x190 + symbol - 144, 9);
    else if (symbol < 280) put_code(symbol - 256, 7);
    else put_code(0xC0 + symbol - 280, 8);
}

/* A length or distance is a symbol and some extra bits; every four symbols (lengths) or two (distances) take one more. */
static void put_match(uint32_t length, uint32_t distance) {
    uint32_t n = length - 3, extra = 0;
    if (length == LONGEST) {
        put_symbol(285);
    } else {
        while (n >> extra >= 8) extra++;
        put_symbol(257 + extra * 4 + (n >> extra));
        put_bits(n & ((1u << extra) - 1), extra);
    }
    n = distance - 1;
    extra = 0;
    while (n >> extra >= 4) extra++;
    put_code(extra * 2 + (n >> extra), 5);
    put_bits(n & ((1u << extra) - 1), extra);
}

static uint8_t at(uint32_t position) { return window[position & (WINDOW - 1)]; }

static uint32_t hash(uint32_t p) {
    return ((uint32_t)at(p) << 16 | (uint32_t)at(p + 1) << 8 | at(p + 2)) * 2654435761u >> 19;
}

static void remember(uint32_t p) {
    uint32_t h = hash(p);
    before[p & (REACH - 1)] = head[h];
    head[h] = p + 1;
}

/* Encodes what was taken in, but for the last `keep` bytes, which a longer match may still want. */
static void deflate(uint32_t keep) {
    while (written - coded > keep) {
        uint32_t left = written - coded, most = left < LONGEST ? left : LONGEST, best = 0, distance = 0;
        uint32_t candidate = left >= SHORTEST ? head[hash(coded)] : 0;
        for (int tries = TRIES; candidate && coded - (candidate - 1) <= REACH && tries && best < most; tries--) {
            uint32_t from = candidate - 1, n = 0;
            while (n < most && at(from + n) == at(coded + n)) n++;
            if (n > best) best = n, distance = coded - from;
            candidate = before[from & (REACH - 1)];
        }
        if (best < SHORTEST || (best == SHORTEST && distance > 4096)) {
            best = 1;
            put_symbol(at(coded));
        } else {
            put_match(best, distance);
        }
        for (; best; best--, coded++)
            if (written - coded >= SHORTEST) remember(coded);
    }
}

static void take(uint8_t byte) {
    window[written++ & (WINDOW - 1)] = byte;
    adler_a += byte;
    if (adler_a >= 65521) adler_a -= 65521;
    adler_b += adler_a;
    if (adler_b >= 65521) adler_b -= 65521;
}

void png_begin(uint8_t *to, uint32_t cap, uint32_t width, uint32_t height) {
    uint32_t header;
    out = to, out_cap = cap, out_len = 0, out_full = 0;
    row_bytes = width * 3;
    memset(above, 0, sizeof above);
    memset(head, 0, sizeof head);
    written = coded = bits = bit_count = adler_b = 0;
    adler_a = 1;
    for (int i = 0; i < 8; i++) put((uint8_t)"\x89PNG\r\n\x1a\n"[i]);
    header = chunk_begin("IHDR");
    put32(width);
    put32(height);
    put(8), put(2), put(0), put(0), put(0); /* 8 bits, RGB, deflate, the five filters, not interlaced */
    chunk_end(header);
    idat = chunk_begin("IDAT");
    put(0x78), put(0x5E);           /* zlib: 32 kB window; a multiple of 31 */
    put_bits(1, 1), put_bits(1, 2); /* the last block, and the only one: fixed codes */
}

/* The predictor that Paeth filtering subtracts: whichever of left, up, corner is nearest to left + up - corner. */
static int paeth(int left, int up, int corner) {
    int p = left + up - corner;
    int l = p > left ? p - left : left - p, u = p > up ? p - up : up - p, c = p > corner ? p - corner : corner - p;
    return l <= u && l <= c ? left : u <= c ? up : corner;
}

static uint8_t filtered(int filter, const uint8_t *row, uint32_t i) {
    int left = i >= 3 ? row[i - 3] : 0, up = above[i], corner = i >= 3 ? above[i - 3] : 0;
    return (uint8_t)(row[i] - (filter == 0 ? 0 : filter == 1 ? left : filter == 2 ? up : paeth(left, up, corner)));
}

/* Each row takes the filter that leaves the smallest differences: the usual and nearly the best guess. */
void png_row(const uint8_t *row) {
    static const int filters[] = {2, 0, 1, 4};
    int best = 0;
    uint32_t least = ~0u;
    for (int f = 0; f < 4 && least; f++) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < row_bytes && sum < least; i++) {
            uint8_t d = filtered(filters[f], row, i);
            sum += d < 128 ? d : 256u - d;
        }
        if (sum < least) least = sum, best = filters[f];
    }
    take((uint8_t)best);
    for (uint32_t i = 0; i < row_bytes; i++) take(filtered(best, row, i));
    memcpy(above, row, row_bytes);
    deflate(LONGEST + SHORTEST);
}

uint32_t png_end(void) {
    uint32_t end;
    deflate(0);
    put_symbol(256);
    if (bit_count) put_bits(0, 8 - bit_count);
    put32(adler_b << 16 | adler_a);
    chunk_end(idat);
    end = chunk_begin("IEND");
    chunk_end(end);
    return out_full ? 0 : out_len;
}
