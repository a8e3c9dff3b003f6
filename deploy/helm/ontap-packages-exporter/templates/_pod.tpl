{{- /* The pod, the same in a StatefulSet and in a Deployment. */ -}}
{{- define "exporter.pod" -}}
metadata:
  annotations:
    {{- $annotations := dict "kubectl.kubernetes.io/default-container" "exporter" }}
    {{- if .Values.config }}
    {{- $_ := set $annotations "checksum/config" (include "exporter.config" . | sha256sum) }}
    {{- end }}
    {{- range $key, $value := .Values.podAnnotations }}
    {{- $_ := set $annotations $key $value }}
    {{- end }}
    {{- toYaml $annotations | nindent 4 }}
  labels:
    {{- include "exporter.labels" (dict "root" . "more" .Values.podLabels) | nindent 4 }}
spec:
  serviceAccountName: {{ include "exporter.serviceAccountName" . | quote }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  containers:
    - name: exporter
      image: {{ include "exporter.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - run
        - --config.file=/etc/ontap-packages-exporter/config/config.yaml
        {{- if eq .Values.mode "shards" }}
        - --shard=auto
        - --total-shards={{ .Values.replicas }}
        {{- end }}
        {{- if .Values.web.existingSecret }}
        - --web.config.file=/etc/ontap-packages-exporter/web/{{ .Values.web.key }}
        {{- end }}
        {{- with .Values.web.externalUrl }}
        - {{ printf "--web.external-url=%s" . | quote }}
        {{- end }}
        {{- with .Values.web.routePrefix }}
        - --web.route-prefix={{ . }}
        {{- end }}
        {{- with .Values.web.grafanaUrl }}
        - {{ printf "--web.grafana-url=%s" . | quote }}
        {{- end }}
        - --log.level={{ .Values.log.level }}
        - --log.format={{ .Values.log.format }}
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- if .Values.postgresql.existingSecret }}
        - name: JOURNAL_URL
          valueFrom:
            secretKeyRef:
              name: {{ .Values.postgresql.existingSecret | quote }}
              key: {{ .Values.postgresql.key | quote }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: http
          containerPort: 10910
          protocol: TCP
      livenessProbe:
        {{- include "exporter.livenessProbe" . | nindent 8 }}
        {{- with .Values.livenessProbe }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      readinessProbe:
        {{- include "exporter.readinessProbe" . | nindent 8 }}
        {{- with .Values.readinessProbe }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/ontap-packages-exporter/config
          readOnly: true
        {{- range $index, $name := .Values.secrets }}
        - name: secret-{{ $index }}
          mountPath: /etc/ontap-packages-exporter/secrets/{{ $name }}
          readOnly: true
        {{- end }}
        {{- range $index, $name := .Values.clusterFiles }}
        - name: clusters-{{ $index }}
          mountPath: /etc/ontap-packages-exporter/clusters/{{ $name }}
          readOnly: true
        {{- end }}
        {{- if .Values.web.existingSecret }}
        - name: web
          mountPath: /etc/ontap-packages-exporter/web
          readOnly: true
        {{- end }}
        {{- if .Values.persistence.enabled }}
        - name: journal
          mountPath: /var/lib/ontap-packages-exporter
        {{- end }}
        - name: tmp
          mountPath: /tmp
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      {{- if and .Values.existingConfig.name (eq .Values.existingConfig.kind "ConfigMap") }}
      configMap:
        name: {{ .Values.existingConfig.name | quote }}
        items:
          - key: {{ .Values.existingConfig.key | quote }}
            path: config.yaml
      {{- else }}
      secret:
        secretName: {{ default (include "exporter.fullname" .) .Values.existingConfig.name | quote }}
        defaultMode: 0440
        items:
          - key: {{ ternary .Values.existingConfig.key "config.yaml" (ne .Values.existingConfig.name "") | quote }}
            path: config.yaml
      {{- end }}
    {{- range $index, $name := .Values.secrets }}
    - name: secret-{{ $index }}
      secret:
        secretName: {{ $name | quote }}
        defaultMode: 0440
    {{- end }}
    {{- range $index, $name := .Values.clusterFiles }}
    - name: clusters-{{ $index }}
      configMap:
        name: {{ $name | quote }}
    {{- end }}
    {{- if .Values.web.existingSecret }}
    - name: web
      secret:
        secretName: {{ .Values.web.existingSecret | quote }}
        defaultMode: 0440
    {{- end }}
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "exporter.selectorLabels" $ | nindent 10 }}
    {{- end }}
    {{- end }}
{{- end }}

{{- /* How the probes ask. With a web configuration, the pages may refuse the kubelet, which the command `health` accepts. */ -}}
{{- define "exporter.livenessProbe" -}}
{{- if .Values.web.existingSecret -}}
exec:
  command: [ontap-packages-exporter, health]
{{- else -}}
httpGet:
  path: {{ printf "%s/-/healthy" (include "exporter.routePrefix" .) | quote }}
  port: http
{{- end }}
{{- end }}

{{- define "exporter.readinessProbe" -}}
{{- if .Values.web.existingSecret -}}
tcpSocket:
  port: http
{{- else -}}
httpGet:
  path: {{ printf "%s/-/ready" (include "exporter.routePrefix" .) | quote }}
  port: http
{{- end }}
{{- end }}
