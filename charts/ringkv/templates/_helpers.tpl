{{- define "ringkv.name" -}}
{{- printf "%s-operator" (.Release.Name | trunc 40 | trimSuffix "-") -}}
{{- end -}}

{{- define "ringkv.serviceAccount" -}}
{{- default (include "ringkv.name" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "ringkv.selector" -}}
app.kubernetes.io/name: ringkv-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ringkv.labels" -}}
{{ include "ringkv.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Least privilege: Secrets by name only, never listed or watched; pods are never made, only annotated and taken away; of a KvTable the finalizer is patched. */}}
{{- define "ringkv.rules" -}}
- apiGroups: [ringkv.dev]
  resources: [kvclusters]
  verbs: [get, list, watch]
- apiGroups: [ringkv.dev]
  resources: [kvclusters/status]
  verbs: [patch]
- apiGroups: [ringkv.dev]
  resources: [kvclusters/finalizers]
  verbs: [update]
- apiGroups: [ringkv.dev]
  resources: [kvtables]
  verbs: [get, list, watch, patch]
- apiGroups: [ringkv.dev]
  resources: [kvtables/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, update, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* What selects the pods of the nodes of all clusters. */}}
{{- define "ringkv.nodes" -}}
app.kubernetes.io/component: node
app.kubernetes.io/managed-by: ringkv-operator
{{- end -}}

{{/* The labels of an object of monitoring, of (root, more): those of the chart win. */}}
{{- define "ringkv.monitoringLabels" -}}
{{- toYaml (merge (include "ringkv.labels" (index . 0) | fromYaml) (index . 1)) -}}
{{- end -}}

{{/* Not the operator's name: its Service and Deployment select by that. */}}
{{- define "ringkv.testLabels" -}}
app.kubernetes.io/name: ringkv-test
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Annotations of what `helm test` makes and takes away again, of a weight. */}}
{{- define "ringkv.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
