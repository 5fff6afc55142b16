// Package limits answers who may connect, how many at once and how often, and how
// long a refused password waits. It keeps strangers from taking what belongs to the
// users: seats, memory, a backend's time, guesses.
//
//   - [Census] counts the sessions that are open.
//   - [Rate] counts the connections an address opens.
//   - [Waiting] holds the sessions that have not logged in, within a bound of memory.
//   - [Penalties] lets failed logins wait longer and longer.
//   - [Intervals] keeps users from logging in too often.
//
// Each is safe for concurrent use, takes the time as an argument, owns no goroutine, does
// no I/O, and is bounded in memory whatever number of addresses the strangers have: what
// is remembered of strangers lies in tables of a fixed size, where the new pushes out the
// least recently used. What a client hears and what is logged is package proxy's.
//
// A limit is a number of what is allowed; 0 is no limit.
package limits
