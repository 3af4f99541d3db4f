package password

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math/bits"
	"strconv"
	"strings"
)

// same compares in a time that tells neither where two differ nor how long the
// stored one is.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func sum(h func() hash.Hash, parts ...string) string {
	d := h()
	for _, p := range parts {
		d.Write([]byte(p))
	}
	return string(d.Sum(nil))
}

func makePlain(_, password string, _ int) (string, error) { return password, nil }

func matchPlain(data, _, password string) (bool, error) { return same(data, password), nil }

func makeDigest(h func() hash.Hash) func(string, string, int) (string, error) {
	return func(_, password string, _ int) (string, error) { return sum(h, password), nil }
}

func matchDigest(h func() hash.Hash) func(string, string, string) (bool, error) {
	return func(data, _, password string) (bool, error) { return same(data, sum(h, password)), nil }
}

// makeSalted makes a digest with the salt behind it.
func makeSalted(h func() hash.Hash) func(string, string, int) (string, error) {
	return func(_, password string, _ int) (string, error) {
		salt := make([]byte, saltSize)
		rand.Read(salt)
		return sum(h, password, string(salt)) + string(salt), nil
	}
}

func lookSalted(size int) func(string) (Info, error) {
	return func(data string) (Info, error) {
		if len(data) <= size {
			return Info{}, fmt.Errorf("%w: %d bytes are no digest of %d and a salt", ErrFormat, len(data), size)
		}
		return Info{}, nil
	}
}

func matchSalted(h func() hash.Hash) func(string, string, string) (bool, error) {
	return func(data, _, password string) (bool, error) {
		size := h().Size()
		return same(data[:size], sum(h, password, data[size:])), nil
	}
}

// lookTrunc reads "<length>-<beginning>".
func lookTrunc(data string) (Info, error) {
	_, _, err := cutTrunc(data)
	return Info{}, err
}

func cutTrunc(data string) (length int, beginning string, err error) {
	digits, beginning, ok := strings.Cut(data, "-")
	if length, err = strconv.Atoi(digits); !ok || err != nil || length < 1 || length > MaxHash || beginning == "" {
		return 0, "", fmt.Errorf("%w: want a length, a dash and a password", ErrFormat)
	}
	return length, beginning, nil
}

func matchTrunc(data, _, password string) (bool, error) {
	length, beginning, err := cutTrunc(data)
	if err != nil {
		return false, err
	}
	if len(beginning) == length && len(password) > length {
		password = password[:length]
	}
	return same(beginning, password), nil
}

// makePBKDF2 makes "$1$salt$rounds$hex", PBKDF2 of SHA-1.
func makePBKDF2(_, password string, rounds int) (string, error) {
	salt := rand.Text()[:16]
	key, err := pbkdf2.Key(sha1.New, password, []byte(salt), rounds, sha1.Size)
	return fmt.Sprintf("$1$%s$%d$%x", salt, rounds, key), err
}

func lookPBKDF2(data string) (Info, error) {
	_, _, _, err := cutPBKDF2(data)
	return Info{}, err
}

func cutPBKDF2(data string) (salt string, rounds int, key []byte, err error) {
	f := strings.Split(data, "$")
	if len(f) != 5 || f[0] != "" || f[1] != "1" {
		return "", 0, nil, ErrFormat
	}
	rounds, err = strconv.Atoi(f[3])
	key, err2 := hex.DecodeString(f[4])
	if err != nil || err2 != nil || rounds < 1 || rounds > maxIterations || len(key) != sha1.Size {
		return "", 0, nil, ErrFormat
	}
	return f[2], rounds, key, nil
}

func matchPBKDF2(data, _, password string) (bool, error) {
	salt, rounds, key, err := cutPBKDF2(data)
	if err != nil {
		return false, err
	}
	made, err := pbkdf2.Key(sha1.New, password, []byte(salt), rounds, len(key))
	return err == nil && subtle.ConstantTimeCompare(made, key) == 1, err
}

// cramSize is that of the two states.
const cramSize = 2 * md5.Size

// CRAMKey gives what CRAM-MD5 needs of a stored password that it can use: the
// states of MD5 behind the outer and the inner pad of the HMAC.
func CRAMKey(stored string) ([]byte, error) {
	s, data, err := open(stored)
	switch {
	case err != nil:
		return nil, err
	case s.clear && data != "":
		data = cramKey(data)
	case s.size != cramSize || s.form != inHex || data == "":
		return nil, fmt.Errorf("%w: %s is nothing for CRAM-MD5", ErrFormat, s.Name)
	}
	return []byte(data), nil
}

func makeCRAM(_, password string, _ int) (string, error) { return cramKey(password), nil }

func matchCRAM(data, _, password string) (bool, error) { return same(data, cramKey(password)), nil }

// cramKey is what RFC 2195 section 2 suggests to keep. Its words are little-endian.
func cramKey(password string) string {
	if len(password) > md5.BlockSize {
		password = sum(md5.New, password)
	}
	state := func(pad byte) (out []byte) {
		block := make([]byte, md5.BlockSize)
		copy(block, password)
		for i := range block {
			block[i] ^= pad
		}
		h := md5.New()
		h.Write(block)
		return swapWords(marshalled(h)[4:20])
	}
	return string(state(0x5c)) + string(state(0x36))
}

// CRAMAnswer is the HMAC-MD5 of a challenge under a key that CRAMKey gave.
func CRAMAnswer(key, challenge []byte) []byte {
	resume := func(state []byte) hash.Hash {
		h := md5.New()
		m := marshalled(h)
		copy(m[4:20], swapWords(state))
		binary.BigEndian.PutUint64(m[len(m)-8:], md5.BlockSize)
		if err := h.(interface{ UnmarshalBinary([]byte) error }).UnmarshalBinary(m); err != nil {
			panic(err)
		}
		return h
	}
	inner := resume(key[md5.Size:cramSize])
	inner.Write(challenge)
	outer := resume(key[:md5.Size])
	outer.Write(inner.Sum(nil))
	return outer.Sum(nil)
}

// marshalled is the state of an MD5: 4 bytes of magic, 4 big-endian words, the
// block that is not full, and a length.
func marshalled(h hash.Hash) []byte {
	m, err := h.(interface{ MarshalBinary() ([]byte, error) }).MarshalBinary()
	if err != nil {
		panic(err)
	}
	return m
}

func swapWords(in []byte) []byte {
	out := make([]byte, 0, len(in))
	for ; len(in) >= 4; in = in[4:] {
		out = binary.LittleEndian.AppendUint32(out, binary.BigEndian.Uint32(in))
	}
	return out
}

// DigestMD5Key gives H({username, ":", realm, ":", passwd}) of RFC 2831 section
// 2.1.2.1 out of a stored password that DIGEST-MD5 can use. In cleartext, name and
// realm are those that the client says; stored, they are in it already.
func DigestMD5Key(stored, name, realm string) ([]byte, error) {
	s, data, err := open(stored)
	switch {
	case err != nil:
		return nil, err
	case s.clear && data != "":
		data = sum(md5.New, name, ":", realm, ":", data)
	case s.Name != "DIGEST-MD5" || data == "":
		return nil, fmt.Errorf("%w: %s is nothing for DIGEST-MD5", ErrFormat, s.Name)
	}
	return []byte(data), nil
}

// makeDigestMD5 takes what is behind the @ of a name for the realm.
func makeDigestMD5(login, password string, _ int) (string, error) {
	name, realm, _ := strings.Cut(login, "@")
	return sum(md5.New, name, ":", realm, ":", password), nil
}

func matchDigestMD5(data, login, password string) (bool, error) {
	made, _ := makeDigestMD5(login, password, 0)
	return same(data, made), nil
}

func matchMD4(data, _, password string) (bool, error) { return same(data, md4(password)), nil }

// md4 is RFC 1320, for the passwords of those who still have it.
func md4(text string) string {
	b := append([]byte(text), 0x80)
	for len(b)%64 != 56 {
		b = append(b, 0)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(len(text))*8)
	s := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	for ; len(b) > 0; b = b[64:] {
		var x [16]uint32
		for i := range x {
			x[i] = binary.LittleEndian.Uint32(b[4*i:])
		}
		r := s
		for i := range 48 {
			var f uint32
			var k, turn int
			switch n := i % 16; i / 16 {
			case 0:
				f, k, turn = r[1]&r[2]|^r[1]&r[3], n, [4]int{3, 7, 11, 19}[i%4]
			case 1:
				f, k, turn = (r[1]&r[2]|r[1]&r[3]|r[2]&r[3])+0x5a827999, n%4*4+n/4, [4]int{3, 5, 9, 13}[i%4]
			default:
				f, k, turn = (r[1]^r[2]^r[3])+0x6ed9eba1, int(bits.Reverse8(uint8(n))>>4), [4]int{3, 9, 11, 15}[i%4]
			}
			r = [4]uint32{r[3], bits.RotateLeft32(r[0]+f+x[k], turn), r[1], r[2]}
		}
		for i := range s {
			s[i] += r[i]
		}
	}
	var out []byte
	for _, w := range s {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return string(out)
}

// keyed is HMAC.
func keyed(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
