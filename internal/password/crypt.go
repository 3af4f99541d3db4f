package password

import (
	"bytes"
	"crypto/md5"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/sha1crypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/go-crypt/x/scrypt"
	"github.com/go-crypt/x/yescrypt"
)

// makeArgon2 uses 64 MiB and one lane, what Dovecot makes and RFC 9106 asks of
// systems that cannot give 2 GiB.
func makeArgon2(id bool) func(string, string, int) (string, error) {
	return func(_, password string, passes int) (string, error) {
		variant := argon2.WithVariantI()
		if id {
			variant = argon2.WithVariantID()
		}
		h, err := argon2.New(variant, argon2.WithT(passes), argon2.WithM(64<<10), argon2.WithP(1), argon2.WithS(saltSize), argon2.WithK(32))
		return digest(h, err, password)
	}
}

func makeBcrypt(_, password string, cost int) (string, error) {
	if len(password) > maxBcrypt {
		return "", fmt.Errorf("%w: bcrypt looks at %d bytes only", ErrLong, maxBcrypt)
	}
	h, err := bcrypt.New(bcrypt.WithIterations(cost))
	out, err := digest(h, err, password)
	// 2y and 2b are the same; crypt(3) of older systems knows 2y only.
	return strings.Replace(out, "$2b$", "$2y$", 1), err
}

func makeSHACrypt(variant shacrypt.Opt) func(string, string, int) (string, error) {
	return func(_, password string, rounds int) (string, error) {
		h, err := shacrypt.New(variant, shacrypt.WithIterations(rounds))
		return digest(h, err, password)
	}
}

func digest(h algorithm.Hash, err error, password string) (string, error) {
	if err != nil {
		return "", err
	}
	d, err := h.Hash(password)
	if err != nil {
		return "", err
	}
	return d.Encode(), nil
}

func lookArgon2(data string) (Info, error) {
	f := strings.Split(data, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" && f[1] != "argon2i" {
		return Info{}, ErrFormat
	}
	parts := strings.Split(f[3], ",")
	if len(parts) != 3 {
		return Info{}, ErrFormat
	}
	info := Info{}
	for i, p := range []struct {
		name string
		most int
	}{{"m=", 1<<31 - 1}, {"t=", maxPasses}, {"p=", maxLanes}} {
		digits, ok := strings.CutPrefix(parts[i], p.name)
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || n < 1 || n > p.most {
			return Info{}, fmt.Errorf("%w: %s is from 1 to %d", ErrFormat, p.name, p.most)
		}
		if i == 0 {
			info.Memory = n
		}
	}
	return info, nil
}

func matchArgon2(data, _, password string) (bool, error) {
	return matchDecoded(argon2.Decode, data, password)
}

func matchDecoded(decode algorithm.DecodeFunc, data, password string) (bool, error) {
	d, err := decode(data)
	if err != nil {
		return false, ErrFormat
	}
	return d.MatchAdvanced(password)
}

// lookCrypt takes what crypt(3) takes, by the hash's own prefix.
func lookCrypt(data string) (Info, error) {
	kind, setting, ok := cutCrypt(data)
	if !ok {
		if isDES(data) {
			return Info{Weak: weakDES}, nil
		}
		return Info{}, ErrFormat
	}
	rounds, least, most := setting, 1, maxIterations
	switch kind {
	case "1":
		return Info{Weak: weakMD5}, nil
	case "2a", "2b", "2y":
		least, most = 4, maxCost
	case "5", "6":
		if rounds, ok = strings.CutPrefix(setting, "rounds="); !ok {
			return Info{}, nil
		}
	case "sha1":
	case "y", "7":
		n, r, _, err := blocks(kind, setting)
		return Info{Memory: n / 8 * r}, err
	default:
		return Info{}, fmt.Errorf("%w: crypt prefix $%.8s$ is not known here", ErrFormat, kind)
	}
	if n, err := strconv.Atoi(rounds); err != nil || n < least || n > most {
		return Info{}, fmt.Errorf("%w: rounds are from %d to %d", ErrFormat, least, most)
	}
	return Info{}, nil
}

// cutCrypt parts "$kind$setting$...".
func cutCrypt(data string) (kind, setting string, ok bool) {
	f := strings.Split(data, "$")
	if len(f) < 4 || f[0] != "" {
		return "", "", false
	}
	return f[1], f[2], true
}

// blocks gives the cost of yescrypt and scrypt: N, r and p of RFC 7914, whose
// memory is 128*N*r bytes.
func blocks(kind, setting string) (n, r, p int, err error) {
	const letters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	number := func(text string) (v int) {
		for i := len(text) - 1; i >= 0; i-- {
			d := strings.IndexByte(letters, text[i])
			if d < 0 {
				return -1
			}
			v = v<<6 | d
		}
		return v
	}
	switch {
	case kind == "y" && len(setting) == 3 && setting[0] == 'j':
		n, r, p = number(setting[1:2])+1, number(setting[2:])+1, 1
	case kind == "7" && len(setting) > 11:
		n, r, p = number(setting[:1]), number(setting[1:6]), number(setting[6:11])
	}
	if n < 1 || n > 24 || r < 1 || r > 64 || p < 1 || p > 16 {
		return 0, 0, 0, fmt.Errorf("%w: parameters of %.11q", ErrFormat, setting)
	}
	return 1 << n, r, p, nil
}

func matchCrypt(data, _, password string) (bool, error) {
	kind, setting, ok := cutCrypt(data)
	if !ok {
		return subtle.ConstantTimeCompare([]byte(desCrypt(password, data[:2])), []byte(data)) == 1, nil
	}
	switch kind {
	case "1":
		// Older tools left a $ behind the hash.
		f := strings.Split(data, "$")
		return matchDecoded(md5crypt.Decode, strings.Join(f[:4], "$"), password)
	case "2a", "2b", "2y":
		// The bytes behind the 72nd are not looked at, now as when it was made.
		return matchDecoded(bcrypt.Decode, data, password[:min(len(password), maxBcrypt)])
	case "5", "6":
		return matchDecoded(shacrypt.Decode, data, password)
	case "sha1":
		return matchDecoded(sha1crypt.Decode, data, password)
	case "y":
		made, err := yescrypt.Hash([]byte(password), []byte(data))
		if err != nil {
			return false, fmt.Errorf("%w: %v", ErrFormat, err)
		}
		return subtle.ConstantTimeCompare(made, []byte(data)) == 1, nil
	default:
		return matchScrypt(data, setting, password)
	}
}

// matchScrypt reads "$7$Nrrrrrppppp<salt>$<43 letters>" of crypt(5). The salt is
// taken as the letters it is written in.
func matchScrypt(data, setting, password string) (bool, error) {
	n, r, p, err := blocks("7", setting)
	if err != nil {
		return false, err
	}
	key, err := scrypt.Key([]byte(password), []byte(setting[11:]), n, r, p, 32)
	if err != nil {
		return false, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	head := data[:strings.LastIndexByte(data, '$')+1]
	return subtle.ConstantTimeCompare(append([]byte(head), yescrypt.Encode64(key)...), []byte(data)) == 1, nil
}

// The scheme MD5 is MD5-CRYPT, or a bare MD5 in hex or base64.
func lookMD5(data string) (Info, error) {
	if strings.HasPrefix(data, "$1$") {
		return lookCrypt(data)
	}
	if bareMD5(data) == nil {
		return Info{}, ErrFormat
	}
	return Info{Weak: weakUnsalted}, nil
}

func matchMD5(data, login, password string) (bool, error) {
	if strings.HasPrefix(data, "$1$") {
		return matchCrypt(data, login, password)
	}
	return same(string(bareMD5(data)), sum(md5.New, password)), nil
}

func bareMD5(data string) []byte {
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if raw, err := decode(data); err == nil && len(raw) == md5.Size {
			return bytes.Clone(raw)
		}
	}
	return nil
}
