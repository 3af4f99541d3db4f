package lmtpproto

import (
	"bufio"
	"errors"
	"strings"
	"unicode/utf8"
)

// ErrReply says that a peer's answer is not a reply within our limits.
var ErrReply = errors.New("malformed reply")

// Reply is an answer: a code, an enhanced code (RFC 3463) or "", and the text.
type Reply struct {
	Code     int
	Enhanced string
	Text     string
	More     []string // the lines after the first, of a reply to LHLO
}

// Ok tells a success.
func (r Reply) Ok() bool { return r.Code/100 == 2 }

// Append adds the reply as it goes over the wire. Text is cleaned, so that no
// value in it can end the line.
func (r Reply) Append(out []byte) []byte {
	out = r.appendLine(out, r.Text, len(r.More) > 0)
	for i, text := range r.More {
		out = r.appendLine(out, text, i < len(r.More)-1)
	}
	return out
}

func (r Reply) appendLine(out []byte, text string, more bool) []byte {
	start := len(out)
	out = append(out, byte('0'+r.Code/100), byte('0'+r.Code/10%10), byte('0'+r.Code%10), ' ')
	if more {
		out[start+3] = '-'
	}
	if r.Enhanced != "" {
		out = append(append(out, r.Enhanced...), ' ')
	}
	out = appendClean(out, text)
	if len(out)-start > MaxReplyLine-2 {
		out = out[:start+MaxReplyLine-2]
	}
	return append(out, '\r', '\n')
}

// appendClean replaces control bytes and what is not UTF-8.
func appendClean(out []byte, s string) []byte {
	clean := utf8.ValidString(s)
	for i := 0; clean && i < len(s); i++ {
		clean = s[i] >= ' ' && s[i] != 0x7f
	}
	if clean {
		return append(out, s...)
	}
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == utf8.RuneError {
			c = '?'
		}
		out = utf8.AppendRune(out, c)
	}
	return out
}

// ReadReply reads one reply, of at most MaxReplyLines lines of MaxReplyLine
// bytes. An end of the stream within it is io.ErrUnexpectedEOF, before it io.EOF.
func ReadReply(br *bufio.Reader) (Reply, error) {
	var r Reply
	for n := range MaxReplyLines {
		line, err := readReplyLine(br)
		if err != nil {
			if n > 0 {
				err = eofIsUnexpected(err)
			}
			return Reply{}, err
		}
		code, text, more, ok := cutReplyLine(line)
		if !ok || n > 0 && code != r.Code {
			return Reply{}, ErrReply
		}
		enhanced, text := cutEnhanced(code, text)
		if n == 0 {
			r = Reply{Code: code, Enhanced: enhanced, Text: text}
		} else {
			r.More = append(r.More, text)
		}
		if !more {
			return r, nil
		}
	}
	return Reply{}, ErrReply
}

func readReplyLine(br *bufio.Reader) (string, error) {
	line, err := br.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull || len(line) > MaxReplyLine:
		return "", ErrReply
	case err != nil && len(line) > 0:
		return "", eofIsUnexpected(err)
	case err != nil:
		return "", err
	}
	return string(trimEOL(line)), nil
}

// cutReplyLine takes "250-text", "250 text" and "250" apart.
func cutReplyLine(line string) (code int, text string, more, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !digit(line[1]) || !digit(line[2]) {
		return 0, "", false, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, "", false, true
	}
	return code, string(appendClean(nil, line[4:])), line[3] == '-', line[3] == '-' || line[3] == ' '
}

// cutEnhanced takes an enhanced code off the text; one whose class is not the
// code's is text.
func cutEnhanced(code int, text string) (enhanced, rest string) {
	word, rest, _ := strings.Cut(text, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 || len(word) > 9 || parts[0] != string(rune('0'+code/100)) {
		return "", text
	}
	for _, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return "", text
		}
	}
	return word, rest
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
