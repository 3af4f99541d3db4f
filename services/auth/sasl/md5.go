package sasl

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"culver/internal/password"
)

// serverFirst sends a challenge before the client may say anything. Some clients
// send an empty initial response where they mean none.
func serverFirst(challenge string, s step) step {
	return func(_ context.Context, in Input) (Output, step) {
		if len(in.Data) > 0 {
			return malformed("an initial response where the server speaks first")
		}
		return Output{Challenge: []byte(challenge)}, s
	}
}

// newCRAM is CRAM-MD5 (RFC 2195).
func newCRAM(b Backend, f Facts) step {
	number, err := rand.Int(rand.Reader, big.NewInt(1e16))
	if err != nil {
		panic(err) // crypto/rand has none
	}
	return cram(b, fmt.Sprintf("<%016d.%d@%s>", number, f.Now().Unix(), f.Hostname))
}

func cram(b Backend, challenge string) step {
	return serverFirst(challenge, func(ctx context.Context, in Input) (Output, step) {
		text := string(in.Data)
		at := strings.LastIndexByte(text, ' ')
		if at < 1 || hasNUL(in.Data) {
			return malformed("CRAM-MD5 wants a name, a blank and a digest")
		}
		digest, err := hex.DecodeString(text[at+1:])
		if err != nil || len(digest) != md5.Size {
			return malformed("the digest of CRAM-MD5")
		}
		stored, real, err := credentials(ctx, b, text[:at], "", "CRAM-MD5")
		if err != nil {
			return end(err), nil
		}
		key, err := password.CRAMKey(stored)
		if err != nil {
			return end(err), nil
		}
		right := subtle.ConstantTimeCompare(password.CRAMAnswer(key, []byte(challenge)), digest)
		return verdict(ctx, b, right == 1 && real, ""), nil
	})
}

// credentials gives what is stored, or what stands for those who have nothing.
func credentials(ctx context.Context, b Backend, authcid, authzid, scheme string) (stored string, real bool, err error) {
	switch stored, err = b.Credentials(ctx, authcid, authzid, scheme); {
	case errors.Is(err, ErrNoCredentials):
		return "{PLAIN}" + rand.Text(), false, nil
	case err != nil:
		return "", false, err
	}
	return stored, true, nil
}

// newDigest is DIGEST-MD5 (RFC 2831) with qop=auth.
func newDigest(b Backend, _ Facts) step { return digest(b, rand.Text()) }

func digest(b Backend, nonce string) step {
	challenge := `realm="",nonce="` + nonce + `",qop="auth",charset="utf-8",algorithm="md5-sess"`
	return serverFirst(challenge, func(ctx context.Context, in Input) (Output, step) {
		r, err := directives(string(in.Data))
		if err != nil {
			return malformed("DIGEST-MD5: %v", err)
		}
		name, uri, charset := r["username"], r["digest-uri"], r["charset"]
		qop, given := r["qop"]
		// Section 2.1.2: the nonce is ours and new, so this is its first use.
		if name == "" || uri == "" || r["cnonce"] == "" || r["nonce"] != nonce || r["nc"] != "00000001" ||
			given && qop != "auth" || charset != "" && !strings.EqualFold(charset, "utf-8") {
			return malformed("DIGEST-MD5: a directive is missing or not what was asked for")
		}
		proof, err := hex.DecodeString(r["response"])
		if err != nil || len(proof) != md5.Size {
			return malformed("DIGEST-MD5: response")
		}
		authcid, authzid := name, r["authzid"]
		if r["realm"] != "" && !strings.Contains(name, "@") {
			authcid += "@" + r["realm"]
		}
		stored, real, err := credentials(ctx, b, authcid, authzid, "DIGEST-MD5")
		if err != nil {
			return end(err), nil
		}
		key, err := password.DigestMD5Key(stored, name, r["realm"])
		if err != nil {
			return end(err), nil
		}
		// Section 2.1.2.1.
		a1 := string(key) + ":" + nonce + ":" + r["cnonce"]
		if authzid != "" {
			a1 += ":" + authzid
		}
		answer := func(a2 string) string {
			return hexMD5(hexMD5(a1) + ":" + nonce + ":" + r["nc"] + ":" + r["cnonce"] + ":auth:" + hexMD5(a2))
		}
		right := subtle.ConstantTimeCompare([]byte(answer("AUTHENTICATE:"+uri)), []byte(hex.EncodeToString(proof)))
		return verdict(ctx, b, right == 1 && real, "rspauth="+answer(":"+uri)), nil
	})
}

func hexMD5(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// directives reads "name=value, name="value"" (section 7.1), each name once.
func directives(text string) (map[string]string, error) {
	if strings.ContainsRune(text, 0) {
		return nil, errors.New("NUL")
	}
	found := map[string]string{}
	for text = strings.TrimLeft(text, ", \t\r\n"); text != ""; text = strings.TrimLeft(text, ", \t\r\n") {
		name, rest, ok := strings.Cut(text, "=")
		name = strings.ToLower(strings.TrimRight(name, " \t"))
		if !ok || name == "" || strings.ContainsAny(name, "\", \t") {
			return nil, errors.New("a directive without a name or a value")
		}
		var value string
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			if value, rest, ok = unquote(quoted); !ok {
				return nil, errors.New("a quotation without an end")
			}
		} else {
			end := strings.IndexByte(rest, ',')
			if end < 0 {
				end = len(rest)
			}
			value, rest = strings.Trim(rest[:end], " \t\r\n"), rest[end:]
		}
		if _, twice := found[name]; twice {
			return nil, errors.New("a directive twice")
		}
		if rest = strings.TrimLeft(rest, " \t\r\n"); rest != "" && rest[0] != ',' {
			return nil, errors.New("text behind a value")
		}
		found[name], text = value, rest
	}
	return found, nil
}

// unquote reads up to the closing quote, and gives what is behind it.
func unquote(text string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:], true
		case text[i] == '\\' && i+1 < len(text):
			i++
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}
