package format

import (
	"bufio"
	"strconv"
	"unicode/utf8"

	"culver/services/doveadm/command"
)

// jsonText writes the text of a JSON string that comes in pieces.
type jsonText struct {
	out  *bufio.Writer
	part []byte // the beginning of a character whose rest is to come
	bad  bool   // bytes that are not UTF-8 became U+FFFD
	safe bool   // no control characters at all
}

func (j *jsonText) write(piece []byte) {
	if len(j.part) > 0 {
		piece = append(j.part, piece...)
		j.part = nil
	}
	for len(piece) > 0 {
		if piece[0] < utf8.RuneSelf {
			n := 1
			for n < len(piece) && plain(piece[n]) {
				n++
			}
			if plain(piece[0]) {
				j.out.Write(piece[:n])
				piece = piece[n:]
			} else {
				j.escape(rune(piece[0]))
				piece = piece[1:]
			}
			continue
		}
		r, n := utf8.DecodeRune(piece)
		if r == utf8.RuneError && n == 1 {
			if !utf8.FullRune(piece) {
				j.part = append([]byte(nil), piece...)
				return
			}
			j.bad = true
			j.out.WriteRune(utf8.RuneError)
		} else {
			j.escape(r)
		}
		piece = piece[n:]
	}
}

// finish ends the string. A character that never ended counts byte by byte.
func (j *jsonText) finish() {
	for range j.part {
		j.bad = true
		j.out.WriteRune(utf8.RuneError)
	}
	j.part = nil
}

func plain(c byte) bool { return c >= ' ' && c != '"' && c != '\\' && c < 0x7f }

func (j *jsonText) escape(r rune) {
	switch {
	case r == '"' || r == '\\':
		j.out.WriteByte('\\')
		j.out.WriteByte(byte(r))
	case r == '\b':
		j.out.WriteString(`\b`)
	case r == '\f':
		j.out.WriteString(`\f`)
	case r == '\n':
		j.out.WriteString(`\n`)
	case r == '\r':
		j.out.WriteString(`\r`)
	case r == '\t':
		j.out.WriteString(`\t`)
	case r < ' ', r == 0x2028, r == 0x2029, j.safe && hostile(r):
		hex := strconv.FormatInt(int64(r), 16)
		j.out.WriteString(`\u` + "0000"[len(hex):] + hex)
	default:
		j.out.WriteRune(r)
	}
}

// jsonArray prints one array of objects, every value a string.
type jsonArray struct {
	jsonText
	cols []command.Column
	rows int
}

func (j *jsonArray) head([]command.Column) { j.out.WriteByte('[') }
func (j *jsonArray) foot()                 { j.out.WriteByte(']') }
func (j *jsonArray) text(piece []byte)     { j.write(piece) }

func (j *jsonArray) begin(i int) {
	switch {
	case i > 0:
		j.out.WriteByte(',')
	case j.rows > 0:
		j.out.WriteString(",{")
	default:
		j.out.WriteByte('{')
	}
	j.out.WriteString(`"` + j.cols[i].Key + `":"`)
}

func (j *jsonArray) end(int) {
	j.finish()
	j.out.WriteByte('"')
}

func (j *jsonArray) row() {
	j.rows++
	j.out.WriteByte('}')
}

// maxNumber bounds the digits of a number. 64 bits have 20.
const maxNumber = 20

// ndjson prints an object a line, numbers as numbers. A row in which bytes were
// not UTF-8 ends with the names of those cells under "not-utf8": there U+FFFD
// stands for each such byte.
type ndjson struct {
	jsonText
	cols   []command.Column
	keys   []string
	number []byte
	lossy  []string
}

func (j *ndjson) head([]command.Column) {}
func (j *ndjson) foot()                 {}

func (j *ndjson) begin(i int) {
	if i > 0 {
		j.out.WriteByte(',')
	} else {
		j.out.WriteByte('{')
	}
	j.quote(j.keys[i])
	j.out.WriteByte(':')
	j.bad = false
	j.number = nil
	if j.cols[i].Number {
		j.number = []byte{}
	} else {
		j.out.WriteByte('"')
	}
}

func (j *ndjson) text(piece []byte) {
	if j.number == nil {
		j.write(piece)
		return
	}
	j.number = append(j.number, piece[:min(len(piece), maxNumber+1-len(j.number))]...)
}

// end writes a number bare; none, or Dovecot's "-" for no limit, is null.
func (j *ndjson) end(i int) {
	if j.number == nil {
		j.finish()
		j.out.WriteByte('"')
		if j.bad {
			j.lossy = append(j.lossy, j.keys[i])
		}
		return
	}
	switch value := string(j.number); {
	case value == "" || value == "-":
		j.out.WriteString("null")
	case isNumber(value):
		j.out.WriteString(value)
	default:
		j.quote(value)
	}
}

func (j *ndjson) quote(s string) {
	j.out.WriteByte('"')
	j.write([]byte(s))
	j.finish()
	j.out.WriteByte('"')
}

func (j *ndjson) row() {
	for i, key := range j.lossy {
		if i == 0 {
			j.out.WriteString(`,"not-utf8":[`)
		} else {
			j.out.WriteByte(',')
		}
		j.quote(key)
	}
	if len(j.lossy) > 0 {
		j.out.WriteByte(']')
	}
	j.lossy = nil
	j.out.WriteString("}\n")
}

// isNumber says whether JSON would read the digits as they stand: no leading
// zeros.
func isNumber(s string) bool {
	if len(s) > maxNumber || s[0] == '0' && len(s) > 1 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// uniqueKeys gives each column a key of its own: a batch may have two of a
// name, and an object may not.
func uniqueKeys(cols []command.Column) []string {
	keys := make([]string, len(cols))
	seen := map[string]int{}
	for i, c := range cols {
		keys[i] = c.Key
		if seen[c.Key]++; seen[c.Key] > 1 {
			keys[i] += "#" + strconv.Itoa(seen[c.Key])
		}
	}
	return keys
}
