package lmtpproto

const hexDigits = "0123456789ABCDEF"

// AppendXtext adds s in the form of RFC 3461 section 4: bytes outside ! to ~,
// and + and =, as +XX.
func AppendXtext(out []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < '!' || c > '~' || c == '+' || c == '=' {
			out = append(out, '+', hexDigits[c>>4], hexDigits[c&15])
		} else {
			out = append(out, c)
		}
	}
	return out
}

// DecodeXtext reverses AppendXtext. UTF-8 stands for itself (Postfix sends such
// XCLIENT values).
func DecodeXtext(s string) (string, error) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			if i+2 >= len(s) {
				return "", ErrParam
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", ErrParam
			}
			c = byte(hi<<4 | lo)
			i += 2
		case c <= ' ' || c == '=' || c == 0x7f:
			return "", ErrParam
		}
		out = append(out, c)
	}
	return string(out), nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f': // RFC 3461 wants capitals; senders do not all know
		return int(c-'a') + 10
	}
	return -1
}
