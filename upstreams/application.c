#include "upstreams/application.h"


extern const aml_application_t aml_application_jupyter;
extern const aml_application_t aml_application_rstudio;
extern const aml_application_t aml_application_ssh;
extern const aml_application_t aml_application_vscode;

const aml_application_t *const aml_applications[] = {
    &aml_application_jupyter,
    &aml_application_rstudio,
    &aml_application_vscode,
    &aml_application_ssh,
    NULL,
};


const aml_application_t *
aml_application_by_port(unsigned port)
{
    size_t i;

    for (i = 0; aml_applications[i] != NULL; i++) {
        if (aml_applications[i]->port == port) {
            return aml_applications[i];
        }
    }

    return NULL;
}


const aml_application_t *
aml_application_by_name(aml_str_t name)
{
    size_t i;

    for (i = 0; aml_applications[i] != NULL; i++) {
        if (aml_str_eq(aml_str_of(aml_applications[i]->name), name)) {
            return aml_applications[i];
        }
    }

    return NULL;
}
