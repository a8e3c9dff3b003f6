{{- /* The pod, the same in a StatefulSet and in a Deployment. */ -}}
{{- define "exporter.pod" -}}
metadata:
  annotations:
    {{- if .Values.config }}
    checksum/config: {{ include "exporter.config" . | sha256sum }}
    {{- end }}
    kubectl.kubernetes.io/default-container: exporter
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "exporter.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "exporter.serviceAccountName" . }}
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
        - --web.external-url={{ . }}
        {{- end }}
        {{- with .Values.web.routePrefix }}
        - --web.route-prefix={{ . }}
        {{- end }}
        {{- with .Values.web.grafanaUrl }}
        - --web.grafana-url={{ . }}
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
              name: {{ .Values.postgresql.existingSecret }}
              key: {{ .Values.postgresql.key }}
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
        {{- toYaml .Values.livenessProbe | nindent 8 }}
      readinessProbe:
        {{- include "exporter.readinessProbe" . | nindent 8 }}
        {{- toYaml .Values.readinessProbe | nindent 8 }}
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
        name: {{ .Values.existingConfig.name }}
        items:
          - key: {{ .Values.existingConfig.key }}
            path: config.yaml
      {{- else }}
      secret:
        secretName: {{ default (include "exporter.fullname" .) .Values.existingConfig.name }}
        defaultMode: 0440
        items:
          - key: {{ ternary .Values.existingConfig.key "config.yaml" (ne .Values.existingConfig.name "") }}
            path: config.yaml
      {{- end }}
    {{- range $index, $name := .Values.secrets }}
    - name: secret-{{ $index }}
      secret:
        secretName: {{ $name }}
        defaultMode: 0440
    {{- end }}
    {{- range $index, $name := .Values.clusterFiles }}
    - name: clusters-{{ $index }}
      configMap:
        name: {{ $name }}
    {{- end }}
    {{- if .Values.web.existingSecret }}
    - name: web
      secret:
        secretName: {{ .Values.web.existingSecret }}
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
  priorityClassName: {{ . }}
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
  path: {{ include "exporter.routePrefix" . }}/-/healthy
  port: http
{{- end }}
{{- end }}

{{- define "exporter.readinessProbe" -}}
{{- if .Values.web.existingSecret -}}
tcpSocket:
  port: http
{{- else -}}
httpGet:
  path: {{ include "exporter.routePrefix" . }}/-/ready
  port: http
{{- end }}
{{- end }}
