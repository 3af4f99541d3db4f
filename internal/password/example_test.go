package password_test

import (
	"fmt"

	"culver/internal/password"
)

func ExampleChecker_Look() {
	for _, stored := range []string{"{CRYPT}$y$j9T$abcdefgh$4aYJlpUYBQ/CwvNaNZWyJ8iEiOSOhXhXiF4pD9oU0p6", "{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="} {
		info, err := password.Checker{}.Look(stored)
		fmt.Println(info.Scheme, info.Memory, err)
	}
	// Output:
	// CRYPT 16384 <nil>
	// SHA 0 weak password scheme (auth_allow_weak_schemes = yes would allow it): SHA: has no salt, so one table finds the passwords of all users
}
