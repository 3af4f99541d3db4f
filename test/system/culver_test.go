package system

import (
	"os"
	"testing"

	"culver/internal/config"
)

type noAccounts struct{}

func (noAccounts) User(string) (int, int, error) { return -1, -1, os.ErrNotExist }
func (noAccounts) Group(string) (int, error)     { return -1, os.ErrNotExist }

// The tests' configuration must hold on a machine without any account of ours.
func TestConfigurationIsValid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := ConfigureCulver(dir, Users{Home: dir, N: 1, FirstUID: 20001}.Passwd(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, problems := config.Load(c.Conf, noAccounts{})
	for _, p := range problems {
		t.Error(p)
	}
}
