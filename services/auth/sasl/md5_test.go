package sasl

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestCRAMMD5(t *testing.T) {
	t.Parallel()
	const challenge = "<1896.697170952@postoffice.reston.mci.net>" // RFC 2195 section 2
	for _, tt := range []struct {
		name, answer string
		err          error
	}{
		{"RFC 2195", "tim b913a602c7eda7a495b4e6e7334d3890", nil},
		{"from a stored key", "joe " + cramOf("test", challenge), nil},
		{"a name with a blank", "tim burton " + cramOf("test", challenge), nil},
		{"wrong", "tim b913a602c7eda7a495b4e6e7334d3891", errWrong},
		{"nobody", "nobody b913a602c7eda7a495b4e6e7334d3890", errWrong},
		{"a hash that is not for it", "dave " + cramOf("test", challenge), errWrong},
		{"the source is down", "down b913a602c7eda7a495b4e6e7334d3890", errLater},
		{"no name", " b913a602c7eda7a495b4e6e7334d3890", ErrMalformed},
		{"no blank", "tim", ErrMalformed},
		{"no digest", "tim xyz", ErrMalformed},
		{"half a digest", "tim b913a602", ErrMalformed},
		{"NUL", "ti\x00m b913a602c7eda7a495b4e6e7334d3890", ErrMalformed},
		{"nothing", "", ErrMalformed},
	} {
		h := &house{stored: map[string]string{
			"tim": "{PLAIN}tanstaaftanstaaf", "tim burton": "{PLAIN}test", "down": "down", "dave": "{SSHA}Jy06k3yZ+lumu7WNmqtzzXVkqNM9XpBA",
			"joe": "{CRAM-MD5}e02d374fde0dc75a17a557039a3a5338c7743304777dccd376f332bee68d2cf6",
		}}
		challenges, last := play(t, &exchange{next: cram(h, challenge)}, "-", tt.answer)
		if len(challenges) != 1 || challenges[0] != challenge || !last.Done || !errors.Is(last.Err, tt.err) {
			t.Errorf("%s: got %q, %+v, want %v", tt.name, challenges, last, tt.err)
		}
	}
	m, _ := Find("CRAM-MD5")
	out := m.New(&house{}, facts()).Step(t.Context(), Input{None: true})
	if !regexp.MustCompile(`^<[0-9]{16}\.896697170@mail\.example\.com>$`).Match(out.Challenge) {
		t.Errorf("got the challenge %q", out.Challenge)
	}
}

func cramOf(plain, challenge string) string {
	m := hmac.New(md5.New, []byte(plain))
	m.Write([]byte(challenge))
	return hex.EncodeToString(m.Sum(nil))
}

func TestDigestMD5(t *testing.T) {
	t.Parallel()
	const nonce = "OA6MG9tEQGm2hh" // RFC 2831 section 4
	const rfc = `charset=utf-8,username="chris",realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",nc=00000001,` +
		`cnonce="OA6MHXh6VqTrRk",digest-uri="imap/elwood.innosoft.com",response=d388dad90d4bbd760a152321f2143af7,qop=auth`
	joes := func(extra, name, key string) string {
		a1 := key + ":" + nonce + ":c"
		if z, ok := strings.CutPrefix(extra, `,authzid="`); ok {
			a1 += ":" + strings.TrimSuffix(z, `"`)
		}
		return `username="` + name + `",realm="",nonce="` + nonce + `",nc=00000001,cnonce="c",digest-uri="smtp/x"` + extra +
			`,response=` + hexMD5(hexMD5(a1)+":"+nonce+":00000001:c:auth:"+hexMD5("AUTHENTICATE:smtp/x"))
	}
	raw := func(text string) string { sum := md5.Sum([]byte(text)); return string(sum[:]) }
	for _, tt := range []struct {
		name, answer, asked string
		err                 error
		final               string
	}{
		{"RFC 2831", rfc, `credentials "chris@elwood.innosoft.com" "" [DIGEST-MD5];proved`, nil, "rspauth=ea40f60335c427b5527b84dbabcdfffd"},
		{"with blanks", strings.ReplaceAll(rfc, ",", " ,\t"), "", nil, "rspauth=ea40f60335c427b5527b84dbabcdfffd"},
		{"from a stored key", joes("", "joe", raw("joe::test")), `credentials "joe" "" [DIGEST-MD5];proved`, nil, ""},
		{"for another", joes(`,authzid="bob"`, "joe", raw("joe::test")), `credentials "joe" "bob" [DIGEST-MD5];proved`, nil, ""},
		{"a quoted quote", joes("", `o\"ne\\il`, raw(`o"ne\il::test`)), `credentials "o\"ne\\il" "" [DIGEST-MD5];proved`, nil, ""},
		{"wrong", joes("", "joe", raw("joe::tesu")), `credentials "joe" "" [DIGEST-MD5];disproved`, errWrong, ""},
		{"nobody", joes("", "nobody", raw("nobody::test")), `credentials "nobody" "" [DIGEST-MD5];disproved`, errWrong, ""},
		{"another nonce", strings.Replace(rfc, "OA6MG9", "OA6MG8", 1), "", ErrMalformed, ""},
		{"a nonce that was used", strings.Replace(rfc, "00000001", "00000002", 1), "", ErrMalformed, ""},
		{"another protection", strings.Replace(rfc, "qop=auth", "qop=auth-int", 1), "", ErrMalformed, ""},
		{"another charset", strings.Replace(rfc, "utf-8", "utf-7", 1), "", ErrMalformed, ""},
		{"a name twice", rfc + `,username="bob"`, "", ErrMalformed, ""},
		{"no end of a quotation", `username="chris`, "", ErrMalformed, ""},
		{"text behind a quotation", `username="chris"x`, "", ErrMalformed, ""},
		{"no value", "username", "", ErrMalformed, ""},
		{"no name", `="x"`, "", ErrMalformed, ""},
		{"NUL", strings.Replace(rfc, "chris", "ch\x00ris", 1), "", ErrMalformed, ""},
		{"half a response", strings.Replace(rfc, "d388dad9", "", 1), "", ErrMalformed, ""},
		{"nothing", "", "", ErrMalformed, ""},
		{"commas", ",,,", "", ErrMalformed, ""},
	} {
		h := &house{stored: map[string]string{
			"chris@elwood.innosoft.com": "{PLAIN}secret", `o"ne\il`: "{PLAIN}test",
			"joe": "{DIGEST-MD5}6aa1cc0ba05b76952870114fde25509c",
		}}
		challenges, last := play(t, &exchange{next: digest(h, nonce)}, "-", tt.answer)
		if !last.Done || !errors.Is(last.Err, tt.err) || tt.final != "" && string(last.Final) != tt.final {
			t.Errorf("%s: got %+v, want %v, %s", tt.name, last, tt.err, tt.final)
		}
		if want := `realm="",nonce="` + nonce + `",qop="auth",charset="utf-8",algorithm="md5-sess"`; len(challenges) != 1 || challenges[0] != want {
			t.Errorf("%s: got %q, want %q", tt.name, challenges, want)
		}
		if got := strings.Join(h.asked, ";"); tt.asked != "" && got != tt.asked {
			t.Errorf("%s: the judge heard %s, want %s", tt.name, got, tt.asked)
		}
	}
}
