package script

import (
	"debug/elf"
	"os"
	"path/filepath"
	"testing"

	"culver/internal/mailtest"
)

// A box holds the program's own file and no library, and each birth would pay
// for relocations: so the programs are static and position-dependent.
func TestProgramsAreStatic(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(mailtest.Repository(), "bin")
	for _, name := range []string{"culver", "culver-spawn", "auth", "lmtp", "lmtp-deliver", "log"} {
		f, err := elf.Open(filepath.Join(bin, name))
		if err != nil {
			t.Errorf("%v: make build comes first", err)
			continue
		}
		if f.Type != elf.ET_EXEC {
			t.Errorf("%s is %v, want ET_EXEC", name, f.Type)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Errorf("%s asks for a dynamic loader", name)
			}
		}
		if st, err := os.Stat(filepath.Join(bin, name)); err == nil {
			t.Logf("%s: %.1f MB", name, float64(st.Size())/1e6)
		}
		f.Close()
	}
}
