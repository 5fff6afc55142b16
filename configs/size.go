package configs

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is a number of octets.
type Size int64

// sizeUnits are powers of 1024. KB and MB, which mean 1000 to some and 1024 to
// others, are not taken.
var sizeUnits = []struct {
	name   string
	octets int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}

// UnmarshalText takes a whole number, alone or with a unit right behind it.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for _, u := range sizeUnits {
		if before, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = before, u.octets
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return errors.New("want a size such as 65536, 64KiB, 64MiB or 1GiB")
	}
	*s = Size(int64(n) * unit)
	return nil
}
