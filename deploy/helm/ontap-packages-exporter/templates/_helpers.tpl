{{- define "exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimAll "-." }}
{{- end }}

{{- /*
The name of the objects. That of a Service begins with a letter and has no dots. At most 52 characters: a StatefulSet's
pods add "-ORDINAL", and the hash of a revision is a label too.
*/ -}}
{{- define "exporter.fullname" -}}
{{- $name := .Values.fullnameOverride }}
{{- if not $name }}
{{- $name = .Release.Name }}
{{- if not (contains (include "exporter.name" .) $name) }}
{{- $name = printf "%s-%s" $name (include "exporter.name" .) }}
{{- end }}
{{- end }}
{{- $name = $name | replace "." "-" | trunc 52 | trimAll "-" }}
{{- if regexMatch "^[0-9]" $name }}
{{- fail (printf "%s: the name of a Service begins with a letter; choose one with fullnameOverride" $name) }}
{{- end }}
{{- $name }}
{{- end }}

{{- define "exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- /*
The labels of an object: ours, `commonLabels` and `more`. Each key stands once: what comes last wins, and the labels that
selectors ask for come last.
*/ -}}
{{- define "exporter.labels" -}}
{{- $labels := dict "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") }}
{{- $_ := set $labels "app.kubernetes.io/version" .root.Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- range list .root.Values.commonLabels .more (include "exporter.selectorLabels" .root | fromYaml) }}
{{- range $key, $value := . }}
{{- $_ := set $labels $key $value }}
{{- end }}
{{- end }}
{{- toYaml $labels }}
{{- end }}

{{- define "exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "exporter.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* What every path begins with: empty, or for example /ontap. */ -}}
{{- define "exporter.routePrefix" -}}
{{- $path := default (urlParse .Values.web.externalUrl).path .Values.web.routePrefix }}
{{- with trimAll "/" $path }}/{{ . }}{{ end }}
{{- end }}

{{- /* The port at which the names of the service are asked; those of shards lead to the pods themselves. */ -}}
{{- define "exporter.port" -}}
{{- eq .Values.mode "shards" | ternary 10910 .Values.service.port }}
{{- end }}

{{- /* The journal that `config` names, or nothing. */ -}}
{{- define "exporter.state" -}}
{{- with (.Values.config).cleanup }}{{ default "" .state }}{{ end }}
{{- end }}

{{- /* The configuration that `config` says, with the defaults that follow from other values. */ -}}
{{- define "exporter.config" -}}
{{- $config := deepCopy .Values.config }}
{{- if and .Values.clusterFiles (not (hasKey $config "cluster_files")) }}
{{- $_ := set $config "cluster_files" (list "../clusters/*/*.yaml" "../clusters/*/*.yml" "../clusters/*/*.json") }}
{{- end }}
{{- if and $config.cleanup (not $config.cleanup.state) }}
{{- if .Values.postgresql.existingSecret }}
{{- $_ := set $config.cleanup "state" "${JOURNAL_URL}" }}
{{- else if .Values.persistence.enabled }}
{{- $_ := set $config.cleanup "state" "sqlite:////var/lib/ontap-packages-exporter/state.db" }}
{{- else }}
{{- fail "config.cleanup needs a journal that survives a restart: set postgresql.existingSecret, persistence.enabled or config.cleanup.state" }}
{{- end }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- define "exporter.validate" -}}
{{- if and (not .Values.config) (not .Values.existingConfig.name) }}
{{- fail "write the configuration in `config`, or name a Secret or ConfigMap that holds it in `existingConfig.name`" }}
{{- end }}
{{- if and .Values.config .Values.existingConfig.name }}
{{- fail "`config` and `existingConfig.name` cannot both be set" }}
{{- end }}
{{- if and (eq .Values.mode "replicas") .Values.persistence.enabled }}
{{- fail "persistence.enabled is for mode: shards; replicas share a journal in PostgreSQL: set postgresql.existingSecret" }}
{{- end }}
{{- if hasPrefix "sqlite:" (include "exporter.state" .) }}
{{- if eq .Values.mode "replicas" }}
{{- fail "config.cleanup.state: each replica would delete with a journal of its own; replicas share one in PostgreSQL: set postgresql.existingSecret" }}
{{- end }}
{{- if not (regexMatch "^sqlite:///[/$]" (include "exporter.state" .)) }}
{{- fail "config.cleanup.state: a relative path is beside the configuration, where nothing can be written; write sqlite:////var/lib/ontap-packages-exporter/state.db" }}
{{- end }}
{{- if not (or .Values.persistence.enabled .Values.extraVolumeMounts) }}
{{- fail "config.cleanup.state: the journal would be lost with its pod: set persistence.enabled, or mount a volume with extraVolumeMounts" }}
{{- end }}
{{- end }}
{{- if and .Values.web.externalUrl .Values.podMonitor.enabled .Values.podMonitor.perCluster }}
{{- fail "web.externalUrl and podMonitor.perCluster cannot both be set: the exporter would refuse the names by which Prometheus asks; set web.routePrefix alone" }}
{{- end }}
{{- end }}
