{{- define "larder.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "larder.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "larder.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "larder.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "larder.selector" -}}
app.kubernetes.io/name: {{ include "larder.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "larder.labels" -}}
{{ include "larder.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "larder.image" -}}
{{- $repository := required "image.repository is where you keep the image, such as registry.example.com/larder" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "larder.scheme" -}}
{{- if .Values.tls.secretName }}HTTPS{{ else }}HTTP{{ end }}
{{- end }}

{{- /* What the chart decides itself: where the server listens, its certificate, where the volume is. */}}
{{- define "larder.config" -}}
{{- $server := dict "listen" "0.0.0.0:5273" }}
{{- if .Values.tls.secretName }}
{{- $_ := set $server "tls" (dict "cert" "/etc/larder-tls/tls.crt" "key" "/etc/larder-tls/tls.key") }}
{{- end }}
{{- $written := .Values.config | default (.Files.Get "config.yaml" | fromYaml) }}
{{- mergeOverwrite (deepCopy $written) (dict "server" $server "storage" (dict "path" "/data")) | toYaml }}
{{- end }}
