package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"postern/configs"
	"postern/directory"
)

func directoryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "directory",
		Short: "Look into the directory's sources, and change them",
		Long: `Look into the directory's sources, and change them.

import, export, verify, diff, set and assign work on the sources of a configuration and need no
gateway. status, confirm and forget talk to running gateways.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{errSilent}
		},
	}
	cmd.AddCommand(importCommand(), exportCommand(), verifyCommand(), diffCommand(), setCommand(), assignCommand(),
		directoryStatusCommand(), confirmCommand(), forgetCommand())
	return cmd
}

// sourced is what the commands have in common that work on one source of a configuration.
type sourced struct {
	path   string
	source string
	json   bool
}

// flags adds them; what stands for the kinds of sources that will do.
func (s *sourced) flags(cmd *cobra.Command, what string) {
	configFlag(cmd, &s.path)
	cmd.Flags().StringVar(&s.source, "source", "", "the source's `NAME`; not needed where only one will do: "+what)
	cmd.Flags().BoolVar(&s.json, "json", false, "one JSON object a line")
}

// load reads the configuration and finds the source.
func (s *sourced) load(fits func(configs.Source) bool, want string) (*configs.Config, configuredSource, error) {
	config, err := configs.Load(s.path)
	if err != nil {
		return nil, configuredSource{}, usageError{err}
	}
	source, err := chooseSource(config, s.source, fits, want)
	if err != nil {
		return nil, source, usageError{err}
	}
	return config, source, nil
}

// configuredSource is a source of the configuration by its name.
type configuredSource struct {
	configs.Source
	name   string
	shadow bool   // it is only compared
	path   string // of the configuration's key
}

// configuredSources are all of them, in the order of search, those that are only compared at the end.
func configuredSources(config *configs.Config) []configuredSource {
	var all []configuredSource
	names, shadowNames := nameSources(config.Directory)
	for i, s := range config.Directory.Sources {
		all = append(all, configuredSource{Source: s, name: names[i], path: fmt.Sprintf("directory.sources[%d]", i)})
	}
	for i, s := range config.Directory.Shadow {
		all = append(all, configuredSource{
			Source: s, name: shadowNames[i], shadow: true, path: fmt.Sprintf("directory.shadow[%d]", i),
		})
	}
	return all
}

// chooseSource finds the source with a name, or the only one that fits: among those that serve, else
// among those that are only compared, where a site fills the source that it means to move to.
func chooseSource(config *configs.Config, name string, fits func(configs.Source) bool, want string) (configuredSource, error) {
	all := configuredSources(config)
	if name != "" {
		i := slices.IndexFunc(all, func(s configuredSource) bool { return s.name == name })
		switch {
		case i < 0:
			return configuredSource{}, fmt.Errorf("there is no source %s; there are: %s", clean(name), sourceNames(all))
		case !fits(all[i].Source):
			return configuredSource{}, fmt.Errorf("source %s will not do: want %s", name, want)
		}
		return all[i], nil
	}
	fitting := slices.DeleteFunc(all, func(s configuredSource) bool { return !fits(s.Source) })
	if serving := slices.DeleteFunc(slices.Clone(fitting), func(s configuredSource) bool { return s.shadow }); len(serving) > 0 {
		fitting = serving
	}
	switch len(fitting) {
	case 0:
		return configuredSource{}, errors.New("the configuration has no source that will do: want " + want)
	case 1:
		return fitting[0], nil
	}
	return configuredSource{}, errors.New("which source? want --source with one of: " + sourceNames(fitting))
}

func sourceNames(all []configuredSource) string {
	text := ""
	for i, s := range all {
		if i > 0 {
			text += ", "
		}
		text += s.name
	}
	return text
}

// followed tells whether all of a source can be read.
func followed(s configs.Source) bool {
	return s.Type == configs.SourceFile || s.Type == configs.SourceConsul ||
		s.Type == configs.SourceLDAP && s.Mode == configs.LDAPFollow
}

// onlyAskedError is what stands in the way where all entries of a source are wanted.
type onlyAskedError struct{ source string }

func (e *onlyAskedError) Error() string {
	return fmt.Sprintf("source %s can only be asked for one mailbox at a time: its entries can't be listed", e.source)
}

// defaultDomain is the configuration's in canonical form.
func defaultDomain(config *configs.Config) (string, error) {
	if config.Directory.DefaultDomain == "" {
		return "", nil
	}
	domain, err := directory.Domain(string(config.Directory.DefaultDomain))
	if err != nil {
		return "", fmt.Errorf("default domain: %w", err)
	}
	return domain, nil
}

// canonicalAddress returns an address as entries have it: @domain is one too.
func canonicalAddress(config *configs.Config, typed string) (string, error) {
	domain, err := defaultDomain(config)
	if err != nil {
		return "", err
	}
	address, err := directory.AppendAddress(nil, []byte(typed), domain)
	if err != nil {
		return "", fmt.Errorf("address %.80q: %w", typed, err)
	}
	return string(address), nil
}

// entryText is an entry's value as JSON has it.
type entryText struct {
	Backend string `json:"backend"`
	Login   string `json:"login,omitempty"`
	State   string `json:"state"`
}

func textOf(v directory.Value, known bool) *entryText {
	if !known {
		return nil
	}
	return &entryText{Backend: v.Backend, Login: v.Login, State: v.State.String()}
}

// String is the value as a map file has it.
func (e *entryText) String() string {
	if e == nil {
		return ""
	}
	text := e.Backend
	if e.Login != "" {
		text += " login=" + e.Login
	}
	if e.State != directory.Active.String() {
		text += " state=" + e.State
	}
	return text
}
