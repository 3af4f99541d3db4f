package lmtp

import (
	"crypto/rand"
	"encoding/base64"
	"strconv"
)

// maxSession bounds a session id that a trusted peer gives with XCLIENT.
const maxSession = 128

// newSessionID gives 128 random bits in 22 characters (spec/lmtp.md 2).
func newSessionID() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawStdEncoding.EncodeToString(b[:])
}

// sessionSuffix names the transaction in its session from the second on, and
// the recipient in its transaction from the second RCPT command on.
func sessionSuffix(transaction, rcpt int) string {
	s := ""
	if transaction > 1 {
		s = ":T" + strconv.Itoa(transaction)
	}
	if rcpt > 1 {
		s += ":R" + strconv.Itoa(rcpt)
	}
	return s
}

// goodSession tells whether an id from outside may stand in replies, headers
// and log lines.
func goodSession(s string) bool {
	if s == "" || len(s) > maxSession {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '<' || s[i] == '>' {
			return false
		}
	}
	return true
}
