package password

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"culver/internal/mailtest"
)

const joe = "joe@example.com"

// strong are hashes of "test" that Dovecot 2.3.19 and libxcrypt 4.4 made.
var strong = []string{
	"{CRYPT}$2y$05$ITzEoKBs56IastqmiweVKuSevFulDFDnlWbMdV.I3FY2W8WIZwhCO",
	"{BLF-CRYPT}$2y$05$xE.hgE/z908WXo7WB1DQ6.5YUB6q1HShubEYJXAzXnY3YR1ra2KZW",
	"{SHA512-CRYPT}$6$dK1lku/F.uAJqEUk$A1i1ST99y/ELi0YV/gFjqBrQKMtHppMh19fjMZeusjlEqajLMg5TehqoxJtBnozwlNIFl.9Wpa6Vz7EXB7xmo/",
	"{CRYPT}$6$dK1lku/F.uAJqEUk$A1i1ST99y/ELi0YV/gFjqBrQKMtHppMh19fjMZeusjlEqajLMg5TehqoxJtBnozwlNIFl.9Wpa6Vz7EXB7xmo/",
	"{SHA256-CRYPT}$5$cVAKb2rR/T1PULyO$AwnxdyM1B5WMs/0KMrhZNXQ.9PwIbH0Deyo0VwJFNt1",
	"{CRYPT}$y$j9T$abcdefgh$4aYJlpUYBQ/CwvNaNZWyJ8iEiOSOhXhXiF4pD9oU0p6",
	"{CRYPT}$7$C6..../....SodiumChloride$UaIUP7VYGQe3f/6J7uTnpogOw4n0XcMkub/oZqD.B06",
	"{CRYPT}$sha1$1000$saltsalt$ogIu1O8ZKC8WbvZhECLAVzjTdPu3",
	"{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$nW+Qf1LE0Wf6GRanlGJQBg$FcXEa9tIN1CZuL6YnpdEgfCEzQ0t0MWM1ZrT6qHWrhg",
	"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$YULtcKsVcrO5MrraIwRRwQ$wD/D8jPyJVPhhWvdt21lUYXyEXSNYKEQWxzZuaaFq8I",
	"{ARGON2}$argon2id$v=19$m=65536,t=3,p=1$YULtcKsVcrO5MrraIwRRwQ$wD/D8jPyJVPhhWvdt21lUYXyEXSNYKEQWxzZuaaFq8I",
	"{SCRAM-SHA-1}4096,v3JJEztSzL7zjsXzjHggTg==,vrH26NcKDFfeYXsTi4xHgL4G5nM=,unDbyqXyq3gg3uRan1qBFfFr7pI=",
	"{SCRAM-SHA-256}4096,Xxe+C9Duc5x40JxsZ/bJkA==,aVe6sv5ZeMpWXrgSyqT4Q+oklf2EuoDNWGOSSDN/XFE=,veKrnTBwAxKi5XdiiMLJ8ZGhjsaDtRu34KSFkUp4ZOs=",
	"{PBKDF2}$1$l3wSdFDpMa/yYCEp$5000$85ca4f24b117d75b2ba0598e57230c8fc583b9c1",
	"{SSHA}Jy06k3yZ+lumu7WNmqtzzXVkqNM9XpBA",
	"{SSHA.HEX}68b9e322bb1f88dd3a29781b71131b5aaec173f9c419c06e",
	"{SSHA256}Ve+fyOMW7FZBsQIwNYbecQ/aIeyOPwvxkIxIF1/vR3PUe9Ci",
	"{SSHA512}Ankk+lTR8AX0h/EayvIkDbwy0GSJWIiTxHt/wUCkK7jLxh1qbyxGRTptkqtZSpq/HinN+TE7XOQ/Aai2jBMVBAiAkEM=",
	"{PLAIN}test", "{CLEARTEXT}test", "{clear}test", "{PLAIN.B64}dGVzdA==", "{plain.base64}dGVzdA==", "{Plain.hex}74657374",
}

// weak are those that count only if weak schemes are allowed.
var weak = []string{
	"{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=",
	"{SHA1}qUqP5cyxm6YcTAhz05Hph5gvu9M=",
	"{SHA}a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
	"{SHA.HEX}a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
	"{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
	"{SHA512}7iaw3Ur350mqGo7jwQrpkj9hiYB3Lkc/iBml1JQODbJ6wYX4oOHV+E+IvIh/1nsUNzLDBMxfqa2Ob1f1ACio/w==",
	"{PLAIN-MD5}098f6bcd4621d373cade4e832627b4f6",
	"{PLAIN-MD5}CY9rzUYh03PK3k6DJie09g==",
	"{LDAP-MD5}CY9rzUYh03PK3k6DJie09g==",
	"{PLAIN-MD4}db346d691d7acc4dc2625db19f9e3f52",
	"{SMD5}3liHTcdBPO3BWH+jxavuqlsq6c4=",
	"{MD5}$1$c3GyZunV$qxrNEfuFu9v.QFFYXdKNG0",
	"{MD5}098f6bcd4621d373cade4e832627b4f6",
	"{MD5-CRYPT}$1$QisDllvS$lr66cyx7HDemBkuf40nHT/",
	"{CRYPT}$1$QisDllvS$lr66cyx7HDemBkuf40nHT/",
	"{CRYPT}$1$QisDllvS$lr66cyx7HDemBkuf40nHT/$",
	"{DES-CRYPT}qrEpcmYqe6tKg", "{CRYPT}abgOeLfPimXQo",
	"{CRAM-MD5}e02d374fde0dc75a17a557039a3a5338c7743304777dccd376f332bee68d2cf6",
	"{CRAM-MD5.B64}4C03T94Nx1oXpVcDmjpTOMd0MwR3fczTdvMyvuaNLPY=",
	"{HMAC-MD5}e02d374fde0dc75a17a557039a3a5338c7743304777dccd376f332bee68d2cf6",
	"{DIGEST-MD5}e58f033a801cb3cb6b8be76b11ba74bc",
	"{PLAIN-TRUNC}4-test",
}

func TestHashesOfOthersAreKnown(t *testing.T) {
	t.Parallel()
	any := Checker{AllowWeak: true}
	for _, stored := range append(strong[:len(strong):len(strong)], weak...) {
		if ok, err := any.Match(stored, joe, "test"); err != nil || !ok {
			t.Errorf("%s: got %v, %v, want a match", stored, ok, err)
		}
		for _, wrong := range []string{"", "tesu", "tes"} {
			if ok, err := any.Match(stored, joe, wrong); err != nil || ok {
				t.Errorf("%s and %q: got %v, %v", stored, wrong, ok, err)
			}
		}
	}
	if ok, err := any.Match("{DIGEST-MD5}e58f033a801cb3cb6b8be76b11ba74bc", "jim@example.com", "test"); ok || err != nil {
		t.Errorf("another's name: got %v, %v", ok, err)
	}
	if ok, err := any.Match("{DIGEST-MD5}6aa1cc0ba05b76952870114fde25509c", "joe", "test"); !ok || err != nil {
		t.Errorf("a name without domain: got %v, %v", ok, err)
	}
}

func TestWeakSchemesCountOnlyIfAllowed(t *testing.T) {
	t.Parallel()
	for _, stored := range weak {
		if ok, err := (Checker{}).Match(stored, joe, "test"); ok || !errors.Is(err, ErrWeak) {
			t.Errorf("%s: got %v, %v, want %v", stored, ok, err, ErrWeak)
		}
		if info, err := (Checker{AllowWeak: true}).Look(stored); err != nil || info.Weak == "" {
			t.Errorf("%s: got %+v, %v, want the reason why it is weak", stored, info, err)
		}
	}
	for _, stored := range strong {
		if info, err := (Checker{}).Look(stored); err != nil || info.Weak != "" {
			t.Errorf("%s: got %+v, %v", stored, info, err)
		}
	}
}

func TestDESVectors(t *testing.T) {
	t.Parallel()
	for password, stored := range map[string]string{
		"test": "abgOeLfPimXQo", "geheim \xc3\xafx longer": "./Tmwx6Z3CSqk", "\x01\x7f\xff": "9A120tYYQQgvc",
		"geheim \xc3 only eight bytes count": "./Tmwx6Z3CSqk", "": "zz6dpSdr.LHZw",
	} {
		if got := desCrypt(password, stored[:2]); got != stored {
			t.Errorf("%q: got %s, want %s", password, got, stored)
		}
	}
}

// RFC 1320 appendix A.5.
func TestMD4Vectors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":    "31d6cfe0d16ae931b73c59d7e0c089c0",
		"abc": "a448017aaf21d8525fc10ae87aa6729d",
		"12345678901234567890123456789012345678901234567890123456789012345678901234567890": "e33b4ddc9c38f2199c3e7b164fcc0536",
	} {
		if got := hex.EncodeToString([]byte(md4(text))); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestTruncatedPasswords(t *testing.T) {
	t.Parallel()
	any := Checker{AllowWeak: true}
	for _, tt := range []struct {
		stored, password string
		want             bool
	}{
		{"{PLAIN-TRUNC}4-test", "testing", true},
		{"{PLAIN-TRUNC}4-test", "tes", false},
		{"{PLAIN-TRUNC}8-test", "test", true},
		{"{PLAIN-TRUNC}8-test", "testing", false},
	} {
		if ok, err := any.Match(tt.stored, "", tt.password); ok != tt.want || err != nil {
			t.Errorf("%s and %q: got %v, %v, want %v", tt.stored, tt.password, ok, err, tt.want)
		}
	}
}

func TestWhatIsEmptyMatchesNothing(t *testing.T) {
	t.Parallel()
	any := Checker{AllowWeak: true}
	for _, s := range Schemes() {
		if ok, err := any.Match("{"+s.Name+"}", joe, ""); ok || err != nil {
			t.Errorf("{%s}: got %v, %v", s.Name, ok, err)
		}
		if _, err := Hash(s.Name, joe, "", 0); err == nil {
			t.Errorf("%s: made a hash of an empty password", s.Name)
		}
	}
}

func TestEverySchemeKnowsItsOwn(t *testing.T) {
	t.Parallel()
	any := Checker{AllowWeak: true}
	for _, s := range Schemes() {
		for _, suffix := range []string{"", ".hex", ".B64"} {
			if s.make == nil {
				if _, err := Hash(s.Name, joe, "secret", 0); err == nil {
					t.Errorf("%s: made a hash of a scheme that is not made", s.Name)
				}
				continue
			}
			for _, plain := range []string{"secret", "gehe\u00efm \x01\t\r\n"} {
				stored, err := Hash(s.Name+suffix, joe, plain, s.Least)
				if err != nil {
					t.Fatalf("%s: %v", s.Name, err)
				}
				if ok, err := any.Match(stored, joe, plain); err != nil || !ok {
					t.Errorf("%s of %q: got %v, %v, want a match", stored, plain, ok, err)
				}
				if ok, _ := any.Match(stored, joe, plain+"x"); ok {
					t.Errorf("%s of %q matches another password", stored, plain)
				}
				if ok, _ := any.Match(stored, joe, ""); ok {
					t.Errorf("%s of %q matches the empty password", stored, plain)
				}
			}
			if s.Rounds > 0 {
				break // the encodings are the same for all, and these cost
			}
		}
	}
}

func TestDovecotKnowsOurs(t *testing.T) {
	t.Parallel()
	mailtest.NeedProgram(t, "doveadm", "dovecot-core")
	for _, s := range Schemes() {
		if s.make == nil || s.Name == "ARGON2" {
			continue // 2.4's
		}
		stored, err := Hash(s.Name, joe, "gehe\u00efm", s.Least)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("doveadm", "-c", "/dev/null", "pw", "-u", joe, "-t", stored, "-p", "gehe\u00efm").CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", stored, err, out)
		}
	}
}

func TestWeKnowDovecots(t *testing.T) {
	t.Parallel()
	mailtest.NeedProgram(t, "doveadm", "dovecot-core")
	out, err := exec.Command("doveadm", "-c", "/dev/null", "pw", "-l").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		for _, suffix := range []string{"", ".hex", ".b64"} {
			if name == "OTP" || name == "PLAIN-TRUNC" {
				continue // no test of a password; a hash that Dovecot itself does not know
			}
			out, err := exec.Command("doveadm", "-c", "/dev/null", "pw", "-u", joe, "-s", name+suffix, "-p", "gehe\u00efm").Output()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			stored := strings.TrimSpace(string(out))
			if ok, err := (Checker{AllowWeak: true}).Match(stored, joe, "gehe\u00efm"); !ok || err != nil {
				t.Errorf("%s: got %v, %v, want a match", stored, ok, err)
			}
		}
	}
}

func TestHashesThatAreNone(t *testing.T) {
	t.Parallel()
	any := Checker{AllowWeak: true}
	for _, tt := range []struct {
		name, stored string
		want         error
	}{
		{"memory beyond measure", "{ARGON2ID}$argon2id$v=19$m=4194304,t=3,p=1$lxffW9emYpDqlUsx7R0/Wg$jQadB3/tHbc+Vx5h5YUD4xVB9JEBhIi7V1J7UgaCdSE", ErrMemory},
		{"yescrypt with 16 GiB", "{CRYPT}$y$jHT$abcdefgh$4aYJlpUYBQ/CwvNaNZWyJ8iEiOSOhXhXiF4pD9oU0p6", ErrMemory},
		{"scrypt with 2 GiB", "{CRYPT}$7$JU..../....SodiumChloride$UaIUP7VYGQe3f/6J7uTnpogOw4n0XcMkub/oZqD.B06", ErrMemory},
		{"too many passes", "{ARGON2ID}$argon2id$v=19$m=65536,t=3000,p=1$lxffW9emYpDqlUsx7R0/Wg$jQadB3/tHbc+Vx5h5YUD4xVB9JEBhIi7V1J7UgaCdSE", ErrFormat},
		{"Argon2 without a variant", "{ARGON2ID}$argon2d$v=19$m=65536,t=3,p=1$lxffW9emYpDqlUsx7R0/Wg$jQadB3/tHbc+Vx5h5YUD4xVB9JEBhIi7V1J7UgaCdSE", ErrFormat},
		{"bcrypt for hours", "{CRYPT}$2y$31$ZK5x7o31kAnezyo7nHHRPeJetZqTHZ7YaXQ2F.O.OTtaF7aOnPAJu", ErrFormat},
		{"the bcrypt with the bug", "{CRYPT}$2x$05$ZK5x7o31kAnezyo7nHHRPeJetZqTHZ7YaXQ2F.O.OTtaF7aOnPAJu", ErrFormat},
		{"rounds for hours", "{SHA512-CRYPT}$6$rounds=999999999$rejgstHJ.63qMbKi$qRvhVuXi2B11/9M/ayc1FPL1UHXgGfq44fd0dyNlMqugvUpm7TKhPEnpP0DeB6xM5r4TLI5CyegVqPDeRD/wG/", ErrFormat},
		{"iterations for hours", "{SCRAM-SHA-256}99999999,LsDUZPtTqJt3/fj9iE+GXA==,KALyoENGxxRYUD66M5ubmSpHMyBaPUlZrrEASmZdNto=,mxDsPAIgtiKRCegdAuxEg7oSk86mujDlUMOoRsv/UjQ=", ErrFormat},
		{"a key of the wrong hash", "{SCRAM-SHA-1}4096,LsDUZPtTqJt3/fj9iE+GXA==,KALyoENGxxRYUD66M5ubmSpHMyBaPUlZrrEASmZdNto=,mxDsPAIgtiKRCegdAuxEg7oSk86mujDlUMOoRsv/UjQ=", ErrFormat},
		{"PBKDF2 for hours", "{PBKDF2}$1$jQCMQortloOSIXjH$99999999$c5790f9cb5192c75f88bac5ffc51303f1ad13519", ErrFormat},
		{"a salted digest without salt", "{SSHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", ErrFormat},
		{"a salted digest that is short", "{SSHA}AAAA", ErrFormat},
		{"a digest of another length", "{SHA256}qUqP5cyxm6YcTAhz05Hph5gvu9M=", ErrFormat},
		{"no base64", "{SSHA}!!!!", ErrFormat},
		{"no hex", "{PLAIN.HEX}7", ErrFormat},
		{"a crypt prefix nobody knows", "{CRYPT}$9$x$y", ErrFormat},
		{"yescrypt with other parameters", "{CRYPT}$y$k9T$x$y", ErrFormat},
		{"twelve letters of DES", "{DES-CRYPT}abgOeLfPimXQ", ErrFormat},
		{"a locked account", "{CRYPT}!", ErrFormat},
		{"a locked account of shadow", "{CRYPT}!$6$dK1lku/F.uAJqEUk$A1i1ST99y/ELi0YV/gFjqBrQKMtHppMh19fjMZeusjlEqajLMg5TehqoxJtBnozwlNIFl.9Wpa6Vz7EXB7xmo/", ErrFormat},
		{"longer than any", "{PLAIN}" + strings.Repeat("x", MaxHash+1), ErrFormat},
		{"truncated without length", "{PLAIN-TRUNC}test", ErrFormat},
		{"an unknown scheme", "{NONSENSE}x", ErrScheme},
		{"an unknown encoding", "{PLAIN.ROT13}x", ErrScheme},
		{"one-time passwords", "{OTP}sha1 1024 040b6aba8063c78b 09e5c8abedf4bb0b", ErrScheme},
		{"no scheme", "x", ErrScheme},
	} {
		ok, err := any.Match(tt.stored, joe, "x")
		if ok || !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, %v, want %v", tt.name, ok, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "jQadB3") {
			t.Errorf("%s: the error %q has the hash in it", tt.name, err)
		}
	}
}

func TestMemoryIsKnownBefore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		stored string
		kib    int
	}{
		{"Argon2", strong[9], 64 << 10},
		{"yescrypt", strong[5], 16 << 10},
		{"scrypt", strong[6], 16 << 10},
		{"bcrypt", strong[0], 0},
	} {
		if info, err := (Checker{Memory: tt.kib}).Look(tt.stored); err != nil || info.Memory != tt.kib {
			t.Errorf("%s: got %+v, %v, want %d KiB", tt.name, info, err, tt.kib)
		}
		if tt.kib > 0 {
			if ok, err := (Checker{Memory: tt.kib - 1}).Match(tt.stored, "", "test"); ok || !errors.Is(err, ErrMemory) {
				t.Errorf("%s: got %v, %v, want %v", tt.name, ok, err, ErrMemory)
			}
		}
	}
}

func TestLongPasswords(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxBcrypt+1)
	if _, err := Hash("BLF-CRYPT", "", long, 0); !errors.Is(err, ErrLong) {
		t.Errorf("got %v, want %v: bcrypt would drop its end", err, ErrLong)
	}
	if _, err := Hash("PLAIN", "", strings.Repeat("x", MaxPassword+1), 0); !errors.Is(err, ErrLong) {
		t.Errorf("got %v, want %v", err, ErrLong)
	}
	if ok, err := (Checker{}).Match("{PLAIN}"+strings.Repeat("x", MaxPassword+1), "", strings.Repeat("x", MaxPassword+1)); ok || err != nil {
		t.Errorf("longer than any password: got %v, %v", ok, err)
	}
}

func TestDefaultScheme(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ stored, scheme, want string }{
		{"abgOeLfPimXQo", "CRYPT", "{CRYPT}abgOeLfPimXQo"},
		{"$1$QisDllvS$lr66cyx7HDemBkuf40nHT/", "PLAIN", "{MD5-CRYPT}$1$QisDllvS$lr66cyx7HDemBkuf40nHT/"},
		{"$2y$05$x", "CRYPT", "{CRYPT}$2y$05$x"},
		{"{SHA}x", "CRYPT", "{SHA}x"},
		{"{curly", "PLAIN", "{PLAIN}{curly"},
		{"", "CRYPT", ""},
	} {
		if got := WithScheme(tt.stored, tt.scheme); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.stored, got, tt.want)
		}
	}
}

func TestWhichMechanismsAStoredPasswordServes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		stored string
		want   bool
	}{
		{"{PLAIN}x", true},
		{"{PLAIN.b64}dGVzdA==", true},
		{"{PLAIN}", false},
		{"{HMAC-MD5}e02d374fde0dc75a17a557039a3a5338c7743304777dccd376f332bee68d2cf6", true},
		{"{cram-md5}e02d374fde0dc75a17a557039a3a5338c7743304777dccd376f332bee68d2cf6", true},
		{"{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", false},
		{"{NONSENSE}x", false},
	} {
		if got := Serves(tt.stored, []string{"CRAM-MD5"}); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.stored, got, tt.want)
		}
	}
}

func TestCRAMKeyIsThatOfTheHMAC(t *testing.T) {
	t.Parallel()
	challenge := []byte("<1896.697170952@postoffice.reston.mci.net>")
	for _, plain := range []string{"tanstaaftanstaaf", "x", strings.Repeat("long ", 30)} {
		m := hmac.New(md5.New, []byte(plain))
		m.Write(challenge)
		key, err := CRAMKey("{PLAIN}" + plain)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := hex.EncodeToString(CRAMAnswer(key, challenge)), hex.EncodeToString(m.Sum(nil)); got != want {
			t.Errorf("%q: got %s, want %s", plain, got, want)
		}
	}
	// RFC 2195 section 2.
	key, _ := CRAMKey("{PLAIN}tanstaaftanstaaf")
	if got, want := hex.EncodeToString(CRAMAnswer(key, challenge)), "b913a602c7eda7a495b4e6e7334d3890"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, stored := range []string{"{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", "{PLAIN}", "{CRAM-MD5}", "{X}"} {
		if key, err := CRAMKey(stored); err == nil {
			t.Errorf("%s: got %x, want an error", stored, key)
		}
	}
}

func TestDummiesAreNobodys(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"ARGON2ID", "BLF-CRYPT", "SSHA512", "PLAIN"} {
		stored, err := Dummy(scheme)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := (Checker{}).Match(stored, "", "test"); ok || err != nil {
			t.Errorf("%s: got %v, %v", scheme, ok, err)
		}
	}
}

// slow are four digits of rounds, or a bcrypt beyond the least cost.
var slow = regexp.MustCompile(`[0-9]{4}[,$]|\$2[aby]\$(0[5-9]|[1-9])`)

func FuzzMatch(f *testing.F) {
	for _, stored := range append(strong[:len(strong):len(strong)], weak...) {
		f.Add(stored, "test")
	}
	f.Add("{SSHA}", "")
	any := Checker{AllowWeak: true, Memory: 64}
	f.Fuzz(func(t *testing.T, stored, plain string) {
		WithScheme(stored, "CRYPT")
		Serves(stored, []string{"SCRAM-SHA-1"})
		SCRAMKeys("SCRAM-SHA-1", stored)
		DigestMD5Key(stored, joe, "")
		if key, err := CRAMKey(stored); err == nil {
			CRAMAnswer(key, []byte(plain))
		}
		if _, err := any.Look(stored); err != nil || slow.MatchString(stored) {
			return // costly parameters are legal
		}
		any.Match(stored, joe, plain)
	})
}
