package password

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"culver/internal/mailtest"
)

// Hashes of "x" that Dovecot 2.3.19 made.
var dovecots = []string{
	"{CRYPT}$2y$05$ZK5x7o31kAnezyo7nHHRPeJetZqTHZ7YaXQ2F.O.OTtaF7aOnPAJu",
	"{BLF-CRYPT}$2y$05$aK327q56SbvX1LfcMxJOneR6TkjrlmoL82j7q5yIEONX7BXbt305O",
	"{SHA512-CRYPT}$6$SZ0k8n/92zG3dA6o$syFT1F0hj8v0xDr5jBE4g31av9V883dsVZOVIfppP3oE.9Tnv4t5byv532SJT770k7.j3CdWj87yFR2WobYNM.",
	"{SHA512-CRYPT}$6$rounds=10000$rejgstHJ.63qMbKi$qRvhVuXi2B11/9M/ayc1FPL1UHXgGfq44fd0dyNlMqugvUpm7TKhPEnpP0DeB6xM5r4TLI5CyegVqPDeRD/wG/",
	"{SCRAM-SHA-256}4096,LsDUZPtTqJt3/fj9iE+GXA==,KALyoENGxxRYUD66M5ubmSpHMyBaPUlZrrEASmZdNto=,mxDsPAIgtiKRCegdAuxEg7oSk86mujDlUMOoRsv/UjQ=",
	"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$lxffW9emYpDqlUsx7R0/Wg$jQadB3/tHbc+Vx5h5YUD4xVB9JEBhIi7V1J7UgaCdSE",
	"{PBKDF2}$1$jQCMQortloOSIXjH$5000$c5790f9cb5192c75f88bac5ffc51303f1ad13519",
	"{PLAIN}x",
	"{sha256}LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=",
	"{SHA1}11f6ad8ec52a2984abaafd7c3b516503785c2072",
}

func TestDovecotsHashesAreKnown(t *testing.T) {
	t.Parallel()
	for _, stored := range dovecots {
		if ok, err := Match(stored, "x"); err != nil || !ok {
			t.Errorf("%s: got %v, %v, want a match", stored, ok, err)
		}
		if ok, err := Match(stored, "y"); err != nil || ok {
			t.Errorf("%s and a wrong password: got %v, %v", stored, ok, err)
		}
	}
}

// cheap are rounds that a test can afford.
func cheap(s Scheme) int { return s.Least }

func TestEverySchemeKnowsItsOwn(t *testing.T) {
	t.Parallel()
	for _, s := range Schemes() {
		if s.Weak {
			if _, err := Hash(s.Name, "secret", 0); err == nil {
				t.Errorf("%s: made a new hash of a weak scheme", s.Name)
			}
			continue
		}
		for _, plain := range []string{"secret", "gehe\u00efm \x01", ""} {
			stored, err := Hash(s.Name, plain, cheap(s))
			if err != nil {
				t.Fatalf("%s: %v", s.Name, err)
			}
			if ok, err := Match(stored, plain); err != nil || !ok {
				t.Errorf("%s of %q: got %v, %v, want a match", stored, plain, ok, err)
			}
			if ok, _ := Match(stored, plain+"x"); ok {
				t.Errorf("%s of %q matches another password", stored, plain)
			}
		}
	}
}

func TestDovecotKnowsOurs(t *testing.T) {
	t.Parallel()
	mailtest.NeedProgram(t, "doveadm", "dovecot-core")
	for _, s := range Schemes() {
		if s.Weak {
			continue
		}
		stored, err := Hash(s.Name, "gehe\u00efm", cheap(s))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("doveadm", "-c", "/dev/null", "pw", "-t", stored, "-p", "gehe\u00efm").CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", stored, err, out)
		}
	}
}

func TestHashesThatAskForTooMuchAreNone(t *testing.T) {
	t.Parallel()
	for _, stored := range []string{
		"{ARGON2ID}$argon2id$v=19$m=4194304,t=3,p=1$lxffW9emYpDqlUsx7R0/Wg$jQadB3/tHbc+Vx5h5YUD4xVB9JEBhIi7V1J7UgaCdSE",
		"{ARGON2ID}$argon2id$v=19$m=65536,t=3000,p=1$lxffW9emYpDqlUsx7R0/Wg$jQadB3/tHbc+Vx5h5YUD4xVB9JEBhIi7V1J7UgaCdSE",
		"{CRYPT}$2y$31$ZK5x7o31kAnezyo7nHHRPeJetZqTHZ7YaXQ2F.O.OTtaF7aOnPAJu",
		"{SHA512-CRYPT}$6$rounds=999999999$rejgstHJ.63qMbKi$qRvhVuXi2B11/9M/ayc1FPL1UHXgGfq44fd0dyNlMqugvUpm7TKhPEnpP0DeB6xM5r4TLI5CyegVqPDeRD/wG/",
		"{SCRAM-SHA-256}99999999,LsDUZPtTqJt3/fj9iE+GXA==,KALyoENGxxRYUD66M5ubmSpHMyBaPUlZrrEASmZdNto=,mxDsPAIgtiKRCegdAuxEg7oSk86mujDlUMOoRsv/UjQ=",
		"{PBKDF2}$1$jQCMQortloOSIXjH$99999999$c5790f9cb5192c75f88bac5ffc51303f1ad13519",
		"{SSHA}AAAA", "{SHA256}", "{CRYPT}abJnggxhB/yWI", "{CRYPT}$y$j9T$x$y", "{PLAIN}" + strings.Repeat("x", MaxHash+1),
	} {
		if ok, err := Match(stored, "x"); ok || !errors.Is(err, ErrFormat) {
			t.Errorf("%.60s: got %v, %v, want a malformed hash", stored, ok, err)
		}
	}
	if _, err := Match("{NONSENSE}x", "x"); !errors.Is(err, ErrScheme) {
		t.Errorf("got %v, want an unknown scheme", err)
	}
}

func TestLongPasswords(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxBcrypt+1)
	if _, err := Hash("BLF-CRYPT", long, 0); !errors.Is(err, ErrLong) {
		t.Errorf("got %v, want %v: bcrypt would drop its end", err, ErrLong)
	}
	if _, err := Hash("PLAIN", strings.Repeat("x", MaxPassword+1), 0); !errors.Is(err, ErrLong) {
		t.Errorf("got %v, want %v", err, ErrLong)
	}
}

func FuzzMatch(f *testing.F) {
	for _, stored := range dovecots {
		if strings.Contains(stored, "10000") || strings.Contains(stored, "ARGON") {
			continue
		}
		f.Add(stored, "x")
	}
	f.Add("{SSHA}", "")
	f.Fuzz(func(t *testing.T, stored, plain string) {
		// Costly parameters are legal and slow.
		if scheme, hash := Split(stored); strings.Contains(strings.ToUpper(scheme), "ARGON") || len(hash) > 200 || strings.Contains(hash, "000") || strings.Contains(hash, "$2") {
			return
		}
		Match(stored, plain)
	})
}
