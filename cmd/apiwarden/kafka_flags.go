package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// kafkaFlags say where Kafka is, for commands that need no other configuration.
type kafkaFlags struct {
	brokers []string
	file    string
}

func (k *kafkaFlags) register(f *pflag.FlagSet) {
	f.StringSliceVar(&k.brokers, "brokers", nil, "some brokers of the cluster, as host:port (default: kafka.brokers of the configuration, 127.0.0.1:9092)")
	f.StringVar(&k.file, "config", "", "configuration file: for TLS and SASL of Kafka, and names of topics")
}

// config gives the configuration with the flags applied.
func (k *kafkaFlags) config(cmd *cobra.Command) (Config, error) {
	flags := layer{}
	if len(k.brokers) > 0 {
		for i, b := range k.brokers {
			k.brokers[i] = strings.TrimSpace(b)
		}
		flags["kafka.brokers"] = k.brokers
	}
	cfg, warnings, err := loadConfig(configSource{file: k.file, environ: os.Environ(), flags: flags})
	for _, w := range warnings {
		cmd.PrintErrln(w)
	}
	return cfg, err
}
