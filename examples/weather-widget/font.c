/* font.c - a stroke alphabet in a language of five letters.
 *
 * A glyph is a text: left bearing, width, right bearing, then pen moves.
 *
 *     M x y   lift the pen and go to x y           L x y   draw a line
 *     h x y   a quarter of an ellipse that leaves horizontally and arrives vertically
 *     v x y   the same, leaving vertically and arriving horizontally
 *     D x y   a dot
 *
 * Nothing else is needed for round letters: an `o` is four quarters and two short lines. The quarters are a little
 * fuller than an ellipse, which is what gives the letters their even, engineered look.
 */
#include "font.h"

#include <stddef.h>
#include <string.h>

static const char *const ascii[95] = {
    /* space */ "0 9.5 0",
    /* ! */ "4 0 4 M0 28 L0 9 D0 0.5",
    /* " */ "4 6 4 M0 28 L0 21 M6 28 L6 21",
    /* # */ "3 18 3 M5 0 L8 28 M11 0 L14 28 M0.5 9 L17 9 M1 19 L17.5 19",
    /* $ */ "4 16 4 M15.5 21 v8 26 h0.5 20 v8.2 14.2 h16 8 v8 2 h0 7.5 M8 31 L8 -3",
    /* % */ "3 24 3 M5 28 h10 23 v5 18 h0 23 v5 28 M19 10 h24 5 v19 0 h14 5 v19 10 M20 28 L4 0",
    /* & */ "4 19 2 M19 0 L4 18.6 L3 22.4 v8 28 h13 22.8 L11.8 19.6 L3.4 13.6 h0 7.4 v7.6 0 h18 12",
    /* ' */ "4 0 4 M0 28 L0 21",
    /* ( */ "4 6 2 M6 31 h0 14 L0 12 v6 -5",
    /* ) */ "2 6 4 M0 31 h6 14 L6 12 v0 -5",
    /* * */ "3 12 3 M6 28 L6 16 M0.8 25 L11.2 19 M0.8 19 L11.2 25",
    /* + */ "3 16 3 M0 12.5 L16 12.5 M8 4.5 L8 20.5",
    /* , */ "3.5 1 3.5 M1 1 L-0.4 -4.6",
    /* - */ "3 9 3 M0 11 L9 11",
    /* . */ "4 0 4 D0 0.5",
    /* / */ "2 12 2 M0 -3 L12 30",
    /* 0 */ "4 15 4 M7.5 28 h15 19.5 L15 8.5 v7.5 0 h0 8.5 L0 19.5 v7.5 28",
    /* 1 */ "4 15 4 M2.5 22.5 L9.5 28 L9.5 0",
    /* 2 */ "4 15 4 M0.5 21 v7.5 28 h14.5 21 L14.1 18.3 L12.7 15.6 L0 0 L15 0",
    /* 3 */ "4 15 4 M0.7 22.4 v7.4 28 h14.3 21.5 v7.6 15 L5 15 M7.6 15 h15 7.6 v7.4 0 h0 6",
    /* 4 */ "3.5 16.5 3 M11 28 L0 7 L16.5 7 M12.3 14 L12.3 0",
    /* 5 */ "4 15 4 M13.8 28 L2.2 28 L1.2 14.6 L2.4 16 v7.4 18 h15 9.4 L15 8.8 v7.4 0 h0 5.6",
    /* 6 */ "4 15 4 M13.8 23 v7.8 28 h0 18.5 L0 8.5 v7.5 0 h15 8.5 L15 9.2 v7.5 17.4 h0 9.2",
    /* 7 */ "4 15 4 M0 28 L15 28 L5 0",
    /* 8 */ "4 15 4 M7.5 28 h14.2 21.5 v7.5 15 h0.8 21.5 v7.5 28 M7.5 15 h15 7.5 v7.5 0 h0 7.5 v7.5 15",
    /* 9 */ "4 15 4 M1.2 5 v7.2 0 h15 9.5 L15 19.5 v7.5 28 h0 19.5 L0 18.8 v7.5 10.6 h15 18.8",
    /* : */ "4 0 4 D0 0.5 D0 17",
    /* ; */ "3.5 1 3.5 M1 1 L-0.4 -4.6 D1 17",
    /* < */ "3 14 3 M14 21 L0 12.5 L14 4",
    /* = */ "3 16 3 M0 16.5 L16 16.5 M0 8.5 L16 8.5",
    /* > */ "3 14 3 M0 21 L14 12.5 L0 4",
    /* ? */ "3 13 3 M0 22 v6.5 28 h13 21.8 L12.2 18.4 L6.5 12 L6.5 9 D6.5 0.5",
    /* @ */ "4 24 4 M17 9 L17 12.5 v12 18 h7 12.5 L7 11.5 v12 6 h17 11.5 M17 17 L17 9.5 v20 6 h24 11 L24 14 v12 26 h0 13 L0 10 v12 -3 L17 -3",
    /* A */ "2 20 2 M0 0 L10 28 L20 0 M3.4 9.5 L16.6 9.5",
    /* B */ "5 16 4 M0 14.6 L9 14.6 h16 7.3 v9 0 L0 0 L0 28 L8.3 28 h15 21.3 v8.3 14.6",
    /* C */ "4 17 3.5 M17 20.5 v8.8 28 h0 19 L0 9 v8.8 0 h17 7.5",
    /* D */ "5 17.5 4 M0 0 L0 28 L7.5 28 h17.5 18.5 L17.5 9.5 v7.5 0 L0 0",
    /* E */ "5 14 3 M14 0 L0 0 L0 28 L14 28 M0 14.5 L12 14.5",
    /* F */ "5 14 2 M0 0 L0 28 L14 28 M0 14 L12 14",
    /* G */ "4 18 4.5 M17.5 21 v9 28 h0 19 L0 9 v9 0 h18 9 L18 13.5 L10.5 13.5",
    /* H */ "5 17 5 M0 0 L0 28 M17 0 L17 28 M0 14.5 L17 14.5",
    /* I */ "5 0 5 M0 0 L0 28",
    /* J */ "2.5 12 5 M0 6 v6 0 h12 6.5 L12 28",
    /* K */ "5 16 2 M0 0 L0 28 M15.5 28 L0 11 M5.6 17.2 L16.4 0",
    /* L */ "5 13 2 M0 28 L0 0 L13 0",
    /* M */ "5 21 5 M0 0 L0 28 L10.5 9 L21 28 L21 0",
    /* N */ "5 17 5 M0 0 L0 28 L17 0 L17 28",
    /* O */ "4 19 4 M9.5 28 h19 18.5 L19 9.5 v9.5 0 h0 9.5 L0 18.5 v9.5 28",
    /* P */ "5 16 3 M0 0 L0 28 L8 28 h16 20 v8 12 L0 12",
    /* Q */ "4 19 4 M9.5 28 h19 18.5 L19 9.5 v9.5 0 h0 9.5 L0 18.5 v9.5 28 M12.5 6.5 L19.5 -2",
    /* R */ "5 16 3 M0 0 L0 28 L8.5 28 h16 20.5 v8.5 13 L0 13 M8.5 13 L16.8 0",
    /* S */ "4 16 4 M15.4 22.2 v8 28 h0.5 21.2 v8.2 14.4 h16 7.2 v8 0 h0 6",
    /* T */ "2 18 2 M0 28 L18 28 M9 28 L9 0",
    /* U */ "5 17 5 M0 28 L0 8.5 v8.5 0 h17 8.5 L17 28",
    /* V */ "2 20 2 M0 28 L10 0 L20 28",
    /* W */ "2 30 2 M0 28 L7.5 0 L15 26 L22.5 0 L30 28",
    /* X */ "2 18 2 M0 0 L18 28 M0 28 L18 0",
    /* Y */ "2 19 2 M0 28 L9.5 13 L19 28 M9.5 13 L9.5 0",
    /* Z */ "3 16 3 M0 28 L16 28 L0 0 L16 0",
    /* [ */ "4 6 2 M6 31 L0 31 L0 -5 L6 -5",
    /* \ */ "2 12 2 M0 30 L12 -3",
    /* ] */ "2 6 4 M0 31 L6 31 L6 -5 L0 -5",
    /* ^ */ "3 14 3 M0 16 L7 27 L14 16",
    /* _ */ "1 16 1 M0 -4 L16 -4",
    /* ` */ "3 5 3 M0 29 L5 24",
    /* a */ "3.5 13.2 4.5 M1 15.6 v6.8 20 h13.2 14 L13.2 0 M13.2 11.6 L5.8 11.6 h0 5.8 v5.8 0 h13.2 6.2",
    /* b */ "5 14 4 M0 0 L0 28 M0 12.5 v7.2 20 h14 12.5 L14 7.5 v7.2 0 h0 7.5",
    /* c */ "4 12.8 2.5 M12.8 14.8 v6.8 20 h0 12.5 L0 7.5 v6.8 0 h12.8 5.2",
    /* d */ "4 14 5 M14 0 L14 28 M14 12.5 v6.8 20 h0 12.5 L0 7.5 v6.8 0 h14 7.5",
    /* e */ "4 14 3.5 M0.2 10.4 L14 10.4 L14 12.8 v7 20 h0 12.5 L0 7.5 v7.2 0 h13.4 4.8",
    /* f */ "1.5 10 0.5 M10.5 28 L8.5 28 h3.6 23 L3.6 0 M0 20 L9.6 20",
    /* g */ "4 14 5 M14 20 L14 -1.5 v7.4 -8 L2.5 -8 M14 12.5 v6.8 20 h0 12.5 L0 7.5 v6.8 0 h14 7.5",
    /* h */ "5 13.4 5 M0 0 L0 28 M0 12.5 v7 20 h13.4 13 L13.4 0",
    /* i */ "5 0 5 M0 0 L0 20 D0 27",
    /* j */ "3 3.5 5 M3.5 20 L3.5 -3.5 v-1 -8 L-1.5 -8 D3.5 27",
    /* k */ "5 12.6 2 M0 0 L0 28 M12 20 L0 8 M4.6 12.6 L13 0",
    /* l */ "5 4.6 2.5 M0 28 L0 4.8 v4.8 0",
    /* m */ "5 22 5 M0 0 L0 20 M0 12.8 v5.8 20 h11 13.8 L11 0 M11 12.8 v16.8 20 h22 13.8 L22 0",
    /* n */ "5 13.4 5 M0 0 L0 20 M0 12.5 v7 20 h13.4 13 L13.4 0",
    /* o */ "4 14.6 4 M7.3 20 h14.6 12.5 L14.6 7.5 v7.3 0 h0 7.5 L0 12.5 v7.3 20",
    /* p */ "5 14 4 M0 20 L0 -8 M0 12.5 v7.2 20 h14 12.5 L14 7.5 v7.2 0 h0 7.5",
    /* q */ "4 14 5 M14 20 L14 -8 M14 12.5 v6.8 20 h0 12.5 L0 7.5 v6.8 0 h14 7.5",
    /* r */ "5 8.4 1 M0 0 L0 20 M0 12 v7.2 20 L8.8 20",
    /* s */ "3.5 12.4 3.5 M12 15.9 v6.3 20 h0.4 15.1 v6.3 10.3 h12.4 5.1 v6.3 0 h0 4.3",
    /* t */ "1.5 10 2 M3.6 26.5 L3.6 5 v8.6 0 L10.2 0 M0 20 L9.8 20",
    /* u */ "5 13.4 5 M13.4 20 L13.4 0 M0 20 L0 7 v6.4 0 h13.4 7.5",
    /* v */ "2 15 2 M0 20 L7.5 0 L15 20",
    /* w */ "2 24 2 M0 20 L6 0 L12 19 L18 0 L24 20",
    /* x */ "2 14 2 M0 0 L14 20 M0 20 L14 0",
    /* y */ "2 15 2 M0 20 L7.5 0 M15 20 L6 -4 v1.6 -8 L0 -8",
    /* z */ "3 12.6 3 M0 20 L12.6 20 L0 0 L12.6 0",
    /* { */ "3 7 2 M7 31 h3 25 L3 17 v0 13 h3 9 L3 1 v7 -5",
    /* | */ "5 0 5 M0 31 L0 -6",
    /* } */ "2 7 3 M0 31 h4 25 L4 17 v7 13 h4 9 L4 1 v0 -5",
    /* ~ */ "3 17 3 M0 11 v4.5 15 h8.5 12.5 v12.5 10 h17 14",
};

static const struct {
    uint32_t character;
    const char *glyph;
} others[] = {
    {0xB0, "3 8 3 M4 28 h8 24 v4 20 h0 24 v4 28"},                             /* degree */
    {0xB7, "4 0 4 D0 11"},                                                     /* middle dot */
    {0xC6, "2 28 3 M0 0 L12 28 L28 28 M14 28 L14 0 L28 0 M4 9.5 L14 9.5 M14 14.5 L25 14.5"},
    {0xD7, "4 13 4 M0 6 L13 19 M0 19 L13 6"},                                  /* times */
    {0xD8, "4 19 4 M9.5 28 h19 18.5 L19 9.5 v9.5 0 h0 9.5 L0 18.5 v9.5 28 M1 -2 L18 30"},
    {0xDF, "5 14 4 M0 0 L0 21 v6.5 28 h13 22 v7 16 h14 8 v7.5 0 L5 0"},        /* sharp s */
    {0xE6, "3.5 24 3.5 M1 15.6 v6 20 h12 14 L12 6 v18 0 h23.6 4.8 M12 10.4 L24 10.4 L24 13 v18 20 h12 13 M12 11.6 L5.4 11.6 h0 5.8 v5.6 0 h12 6.2"},
    {0xF8, "4 14.6 4 M7.3 20 h14.6 12.5 L14.6 7.5 v7.3 0 h0 7.5 L0 12.5 v7.3 20 M0.5 -2 L14 22"},
    {0x131, "5 0 5 M0 0 L0 20"},                                               /* dotless i, for accents */
    {0x2013, "2.5 14 2.5 M0 11 L14 11"},                                       /* en dash */
    {0x2014, "1 26 1 M0 11 L26 11"},                                           /* em dash */
    {0x2019, "3 3 3 M2 28 L0.6 22"},                                           /* apostrophe */
    {0x2026, "4 16 4 D0 0.5 D8 0.5 D16 0.5"},                                  /* ellipsis */
    {0x2212, "3 14 3 M0 12.5 L14 12.5"},                                       /* minus */
    {0xFFFD, "4 14 4 M0 0 L14 0 L14 28 L0 28 L0 0"},                           /* what we cannot draw */
};

/* U+00C0 to U+00FF, two letters each: the base and its accent; a space where there is no such pair. */
static const char latin[] = "A`A'A^A~A:Ao  C,E`E'E^E:I`I'I^I:  N~O`O'O^O~O:    U`U'U^U:Y'    "
                            "a`a'a^a~a:ao  c,e`e'e^e:i`i'i^i:  n~o`o'o^o~o:    u`u'u^u:y'  y:";

/* Accents over a letter of x-height whose middle is at x = 0; capitals have them 8 units higher. */
static const char *accent_glyph(char accent) {
    switch (accent) {
    case '`': return "0 0 0 M-3 29 L1.5 24.5";
    case '\'': return "0 0 0 M3 29 L-1.5 24.5";
    case '^': return "0 0 0 M-4 24.5 L0 28.5 L4 24.5";
    case '~': return "0 0 0 M-5 25.5 v-2.5 28 h0 26.7 v2.5 25.4 h5 27.9";
    case ':': return "0 0 0 D-3.8 26.5 D3.8 26.5";
    case 'o': return "0 0 0 M0 30.5 h3 27.5 v0 24.5 h-3 27.5 v0 30.5";
    default: return "0 0 0 M0 0 L0 -2.5 h3 -5 v-2 -7.5"; /* cedilla */
    }
}

/* A decimal number off a glyph text. */
static float number(const char **text) {
    const char *at = *text;
    float value = 0, place = 0;
    int negative = 0;
    while (*at == ' ') at++;
    if (*at == '-') negative = 1, at++;
    for (; (*at >= '0' && *at <= '9') || *at == '.'; at++) {
        if (*at == '.') {
            place = 0.1f;
        } else if (place > 0) {
            value += place * (float)(*at - '0');
            place *= 0.1f;
        } else {
            value = value * 10 + (float)(*at - '0');
        }
    }
    *text = at;
    return negative ? -value : value;
}

/* Sines of a quarter turn in eighths; the cosines are the same numbers backwards. */
static const float turn[9] = {0, 0.19509f, 0.38268f, 0.55557f, 0.70711f, 0.83147f, 0.92388f, 0.98079f, 1};
static const float fullness = 0.035f; /* how far the middle of a quarter lies outside of the ellipse */

static int pen(const char *glyph, float dx, float dy, stroke *strokes, int n) {
    float x = 0, y = 0;
    for (;;) {
        char move;
        float x1, y1;
        while (*glyph == ' ') glyph++;
        move = *glyph;
        if (!move) return n;
        glyph++;
        x1 = number(&glyph) + dx;
        y1 = number(&glyph) + dy;
        if ((move == 'L' || move == 'D') && n < FONT_MAX_STROKES) {
            stroke line = {move == 'D' ? x1 : x, move == 'D' ? y1 : y, x1, y1};
            strokes[n++] = line;
        } else if (move == 'h' || move == 'v') {
            float px = x, py = y;
            for (int i = 1; i <= 8 && n < FONT_MAX_STROKES; i++) {
                float full = 2 * fullness * turn[i] * turn[8 - i]; /* widest in the middle, 0 at both ends */
                float along = turn[i] + full;                      /* the axis it leaves on */
                float across = 1 - turn[8 - i] - full;             /* the axis it arrives on */
                stroke line = {px, py, x + (x1 - x) * (move == 'h' ? along : across), y + (y1 - y) * (move == 'h' ? across : along)};
                strokes[n++] = line;
                px = line.x1, py = line.y1;
            }
        }
        x = x1, y = y1;
    }
}

static const char *find(uint32_t character) {
    if (character >= 32 && character < 127) return ascii[character - 32];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].character == character) return others[i].glyph;
    return NULL;
}

uint32_t font_next(const char **text) {
    const uint8_t *at = (const uint8_t *)*text;
    uint32_t first = at[0], character;
    int more = first < 0x80 ? 0 : first >= 0xC2 && first < 0xE0 ? 1 : first >= 0xE0 && first < 0xF0 ? 2 : first >= 0xF0 && first < 0xF5 ? 3 : -1;
    if (!first) return 0;
    character = more <= 0 ? first : first & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((at[i] & 0xC0) != 0x80) more = -1;
        else character = character << 6 | (at[i] & 0x3F);
    }
    *text += more < 0 ? 1 : 1 + more;
    return more < 0 ? 0xFFFD : character;
}

int font_glyph(uint32_t character, stroke *strokes, float *advance) {
    const char *glyph = find(character);
    char accent = ' ';
    float left, width, right;
    int capital = 0, n = 0;
    if (!glyph && character >= 0xC0 && character <= 0xFF) {
        char base = latin[(character - 0xC0) * 2];
        accent = latin[(character - 0xC0) * 2 + 1];
        capital = base < 'a';
        if (base != ' ') glyph = find(base == 'i' ? 0x131 : (uint32_t)base);
    }
    if (!glyph) glyph = find(0xFFFD), accent = ' ';
    left = number(&glyph);
    width = number(&glyph);
    right = number(&glyph);
    *advance = left + width + right;
    if (!strokes) return 0;
    n = pen(glyph, left, 0, strokes, 0);
    if (accent != ' ') {
        const char *mark = accent_glyph(accent);
        number(&mark), number(&mark), number(&mark);
        n = pen(mark, left + width / 2, capital && accent != ',' ? 8 : 0, strokes, n);
    }
    return n;
}
