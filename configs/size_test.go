package configs

import (
	"math"
	"testing"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0":                   0,
		"1":                   1,
		"65536":               65536,
		"64KiB":               64 << 10,
		"064MiB":              64 << 20,
		"64MiB":               64 << 20,
		"3GiB":                3 << 30,
		"8589934591GiB":       8589934591 << 30,
		"9223372036854775807": math.MaxInt64,
	} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
	}
}

func TestSizeRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", "KiB", "-1", "+1", "-1MiB", "1.5MiB", "1e6", "0x10", "1_000", "64 MiB", " 64MiB", "64MiB ", "64mib", "64M",
		"64MB", "64kB", "64B", "64TiB", "64MiBKiB", "64MiB/s", "٣", "9223372036854775808", "8589934592GiB", "18446744073709551616KiB",
	} {
		got := Size(7)
		if err := got.UnmarshalText([]byte(text)); err == nil || err.Error() != "want a size such as 65536, 64KiB, 64MiB or 1GiB" || got != 7 {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
}

func TestSizesLoad(t *testing.T) {
	t.Setenv("T_SIZE", "2")
	for text, want := range map[string]Size{"1MiB": 1 << 20, "1048576": 1 << 20, `"${T_SIZE}GiB"`: 2 << 30} {
		if got := mustLoad(t, minimal+"limits: {login_memory: "+text+"}\n").Limits.LoginMemory; got != want {
			t.Errorf("%s: got %d", text, got)
		}
	}
}
